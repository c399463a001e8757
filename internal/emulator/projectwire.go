package emulator

import (
	"net/http"
	"net/url"
	"strings"
)

// projectJSON is a project on the wire (azure-devops-rest.md 2.6). The list has the fields up to the time alone.
type projectJSON struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	URL            string          `json:"url"`
	State          string          `json:"state"`
	Revision       int             `json:"revision"`
	Visibility     string          `json:"visibility"`
	LastUpdateTime *timestamp      `json:"lastUpdateTime"`
	Links          map[string]href `json:"_links,omitempty"`
	DefaultTeam    *teamReference  `json:"defaultTeam,omitempty"`
	// Capabilities are texts throughout, also those that mean a boolean.
	Capabilities map[string]map[string]string `json:"capabilities,omitempty"`
}

type teamReference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	URL  string `json:"url"`
}

// processJSON is a process, the template of a project's work items (azure-devops-rest.md 2.6).
type processJSON struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	IsDefault   bool   `json:"isDefault"`
	Type        string `json:"type"`
	URL         string `json:"url"`
}

// agileProcess is the id of Microsoft's process Agile, the same in every organisation. The
// emulator's projects have it.
const agileProcess = "adcc42ab-9882-485e-a3ed-7678f01f66bc"

// getProcesses returns Microsoft's processes, or the one that the path names.
func (e *Emulator) getProcesses(c *request, _ *identity) (any, error) {
	all := listOf(c, []processJSON{
		{ID: agileProcess, Name: "Agile", IsDefault: true},
		{ID: "27450541-8e31-4150-9947-dc59f998fc01", Name: "CMMI"},
		{ID: "6b724908-ef14-45cf-84f8-768b5384da45", Name: "Scrum"},
	}, func(c *request, p processJSON) processJSON {
		p.Type, p.URL = "system", e.hostURL(c.base, "")+"_apis/process/processes/"+p.ID
		return p
	})
	id := c.params["processId"]
	if id == "" {
		return all, nil
	}
	for _, p := range all.Value {
		if strings.EqualFold(p.ID, id) {
			return p, nil
		}
	}
	return nil, apiError(http.StatusNotFound, "ProcessTemplateNotFoundException", "Microsoft.TeamFoundation.Core.WebApi", "VS402362: No process template with type %s was found.", id)
}

func (e *Emulator) projectJSON(c *request, p *project) projectJSON {
	return projectJSON{ID: p.id, Name: p.name, URL: e.hostURL(c.base, "") + "_apis/projects/" + p.id, State: "wellFormed",
		Revision: 1, Visibility: "private", LastUpdateTime: timestampOf(p.updated)}
}

func (e *Emulator) getProjects(c *request, _ *identity) (any, error) {
	name := c.params["projectId"]
	if name == "" {
		return listOf(c, e.projects, e.projectJSON), nil
	}
	p, err := e.projectNamed(name)
	if err != nil {
		return nil, err
	}
	org, out := e.hostURL(c.base, ""), e.projectJSON(c, p)
	out.Links = map[string]href{"self": {out.URL}, "collection": {org + "_apis/projectCollections/" + e.instanceID}, "web": {org + url.PathEscape(p.name)}}
	out.DefaultTeam = &teamReference{p.team, p.name + " Team", out.URL + "/teams/" + p.team}
	if c.flag("includeCapabilities") {
		out.Capabilities = map[string]map[string]string{
			"processTemplate": {"templateName": "Agile", "templateTypeId": agileProcess},
			"versioncontrol":  {"sourceControlType": "Git", "gitEnabled": "True", "tfvcEnabled": "False"},
		}
	}
	return out, nil
}
