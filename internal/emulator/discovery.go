package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// location is one entry of the OPTIONS answer (azure-devops-rest.md 1.1).
type location struct {
	ID              string `json:"id"`
	Area            string `json:"area"`
	ResourceName    string `json:"resourceName"`
	RouteTemplate   string `json:"routeTemplate"`
	ResourceVersion int    `json:"resourceVersion"`
	MinVersion      string `json:"minVersion"`
	MaxVersion      string `json:"maxVersion"`
	ReleasedVersion string `json:"releasedVersion"`
}

// options lists the resources of a host, all or those of one area.
func (e *Emulator) options(c *request, host string, area []string) reply {
	shown := filter(e.routes, func(r route) bool {
		return !r.unversioned && r.servedAt(host) && (len(area) == 0 || strings.EqualFold(area[0], r.area))
	})
	return jsonReply(http.StatusOK, listOf(c, shown, func(_ *request, r route) location {
		released := choose(r.preview, "0.0", "7.2") // 0.0 is preview only
		return location{r.id, r.area, r.resource, r.template, 1, "1.0", "7.2", released}
	}))
}

type areaJSON struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	LocationURL string `json:"locationUrl"`
}

func (e *Emulator) resourceAreas(c *request) (any, error) {
	all := listOf(c, resourceAreaTable(), func(c *request, a area) areaJSON { return areaJSON{a.id, a.name, e.hostURL(c.base, a.host)} })
	want := c.params["areaId"]
	if want == "" {
		return all, nil
	}
	i := slices.IndexFunc(all.Value, func(a areaJSON) bool { return strings.EqualFold(a.ID, want) })
	if i < 0 {
		return nil, nil // the real one answers null
	}
	return all.Value[i], nil
}

// hostURL is the organisation on one of the three hosts, with the slash at its end that the service writes.
func (e *Emulator) hostURL(base, host string) string {
	if host != "" {
		base += "/" + host
	}
	return base + "/" + e.opts.Org + "/"
}

type typedValue struct {
	Type  string `json:"$type"`
	Value string `json:"$value"`
}

// userJSON is an identity in connectionData.
type userJSON struct {
	ID                  string                `json:"id"`
	Descriptor          string                `json:"descriptor"`
	SubjectDescriptor   string                `json:"subjectDescriptor"`
	ProviderDisplayName string                `json:"providerDisplayName"`
	IsActive            bool                  `json:"isActive"`
	ResourceVersion     int                   `json:"resourceVersion"`
	MetaTypeID          int                   `json:"metaTypeId"`
	Properties          map[string]typedValue `json:"properties"`
}

func (e *Emulator) userOf(p principal) userJSON {
	u := userJSON{IsActive: true, ResourceVersion: 2, Properties: map[string]typedValue{}}
	switch {
	case p.identity != nil:
		u.ID, u.Descriptor, u.SubjectDescriptor = p.identity.storageKey, p.identity.descriptor(), p.identity.subject
		u.ProviderDisplayName = p.identity.Name
		u.Properties["Account"] = typedValue{"System.String", p.identity.ObjectID}
	case p.isAnonymous:
		u.ID, u.ProviderDisplayName = anonymousID, "Anonymous"
	case p.agent != nil:
		u.ID, u.ProviderDisplayName = p.agent.clientID, p.agent.name
		u.Descriptor = "Microsoft.TeamFoundation.ServiceIdentity;" + e.instanceID + ":AgentPool:" + p.agent.clientID
		u.SubjectDescriptor = "agent." + b64url.EncodeToString([]byte(p.agent.clientID))
	case p.job != nil:
		u.ID, u.ProviderDisplayName = p.job.project.id, p.display()
		u.Descriptor = "Microsoft.TeamFoundation.ServiceIdentity;" + e.instanceID + ":Build:" + p.job.project.id
		u.SubjectDescriptor = "svc." + b64url.EncodeToString([]byte(p.job.project.id))
	}
	return u
}

// connectionData is the whoami of azure-devops-rest.md 1.3.
func (e *Emulator) connectionData(c *request) (any, error) {
	user := e.userOf(c.who)
	return obj{
		"authenticatedUser": user, "authorizedUser": user,
		"instanceId": e.instanceID, "deploymentId": e.instanceID, "deploymentType": "hosted",
		"locationServiceData": e.locationServiceData(c),
	}, nil
}

func (e *Emulator) locationServiceData(c *request) obj {
	data := obj{
		"serviceOwner": serviceOwner, "defaultAccessMappingMoniker": "PublicAccessMapping",
		"lastChangeId": 1, "lastChangeId64": 1,
	}
	if o := strings.ToLower(c.query("connectOptions")); o == "" || o == "none" || o == "0" {
		return data
	}
	data["clientCacheFresh"] = false
	data["accessMappings"] = []obj{{
		"displayName": "Host Guid Access Mapping", "moniker": "PublicAccessMapping",
		"accessPoint": c.base + "/", "serviceOwner": serviceOwner, "virtualDirectory": e.opts.Org,
	}}
	data["serviceDefinitions"] = each(resourceAreaTable(), func(a area) obj { // the .NET client looks areas up by this (agent-protocol.md 1.4, 7.6)
		return obj{
			"serviceType": "LocationService2", "identifier": a.id, "displayName": a.name,
			"relativeToSetting": "fullyQualified", "serviceOwner": serviceOwner,
			"locationMappings": []obj{{"accessMappingMoniker": "PublicAccessMapping", "location": e.hostURL(c.base, a.host)}},
		}
	})
	return data
}

// serviceOwner is the id of the service that owns pools and builds (azure-devops-rest.md 2.4).
const serviceOwner = "00025394-6065-48ca-87d9-7f5672854ef7"
