package emulator

import "net/url"

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

// agileProcess is the id of Microsoft's process Agile, the same in every organisation.
const agileProcess = "adcc42ab-9882-485e-a3ed-7678f01f66bc"

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
