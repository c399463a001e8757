package emulator

import (
	"net/http"
	"strings"
)

// handler serves one method of a route. It runs with the store locked, unless it waits: then it locks by itself.
type handler struct {
	serve func(*Emulator, *request) (reply, error)
	waits bool
}

// route is a resource: one row for both the routing and the OPTIONS discovery (azure-devops-rest.md 1.1).
type route struct {
	id, area, resource string
	template           string
	preview            bool // never went GA: wants -preview
	unversioned        bool // no api-version asked for
	anonymous          bool // proves itself by other means than an Authorization header
	methods            map[string]handler
	segments           []string
}

type methods = map[string]handler

func h(f func(*Emulator, *request) (reply, error)) handler { return handler{serve: f} }

// routeTable is every resource. The ids are from the references, those of the plan routes recalled from
// actions/runner's TaskResourceIds.cs; the templates are shaped from published paths.
func routeTable() []route {
	get, post, put, patch, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	const dt = "distributedtask"
	const plan = "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/"
	table := []route{
		{id: "e81700f7-3be2-46de-8624-2eb35882fcaa", area: "Location", resource: "ResourceAreas", preview: true,
			template: "_apis/{resource}/{areaId}", methods: methods{get: h((*Emulator).resourceAreas)}},
		{id: "00d9565f-ed9c-4a06-9a50-00e7896ccab4", area: "Location", resource: "ConnectionData", preview: true,
			template: "_apis/{resource}", methods: methods{get: h((*Emulator).connectionData)}},
		{id: "c23bf0f9-ab9c-4ff1-bdb4-53bc5d6c8a4f", area: "oauth2", resource: "token", anonymous: true, unversioned: true,
			template: "_apis/{area}/{resource}/{hostId}", methods: methods{post: h((*Emulator).exchangeToken)}},
		{id: "a8c47e17-4d56-4a56-92bb-de7ea7dc65be", area: dt, resource: "pools", template: "_apis/{area}/{resource}/{poolId}",
			methods: methods{get: h((*Emulator).getPools), post: h((*Emulator).createPool),
				patch: h((*Emulator).updatePool), del: h((*Emulator).deletePool)}},
		{id: "e298ef32-5878-4cab-993c-043836571f42", area: dt, resource: "agents", template: "_apis/{area}/pools/{poolId}/{resource}/{agentId}",
			methods: methods{get: h((*Emulator).getAgents), post: h((*Emulator).createAgent), put: h((*Emulator).replaceAgent),
				patch: h((*Emulator).updateAgent), del: h((*Emulator).deleteAgent)}},
		{id: "30ba3ada-fedf-4da8-bbb5-dacf2f82e176", area: dt, resource: "usercapabilities", preview: true,
			template: "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}", methods: methods{put: h((*Emulator).putUserCapabilities)}},
		{id: "162778f3-4b48-48f3-9d58-436fb9c407bc", area: dt, resource: "permissions", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{permissions}", methods: methods{get: h((*Emulator).poolPermissions)}},
		{id: "134e239e-2df3-4794-a6f6-24f1f19ec8dc", area: dt, resource: "sessions", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{sessionId}",
			methods:  methods{post: h((*Emulator).createSession), del: h((*Emulator).deleteSession)}},
		{id: "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7", area: dt, resource: "messages", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{messageId}",
			methods: methods{get: {(*Emulator).pollMessage, true}, del: h((*Emulator).deleteMessage),
				post: h((*Emulator).refreshAgents)}},
		{id: "fc825784-c92a-4299-9221-998a02d1b54f", area: dt, resource: "jobrequests", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{requestId}",
			methods: methods{get: h((*Emulator).getJobRequests), patch: h((*Emulator).updateJobRequest),
				del: h((*Emulator).deleteJobRequest)}},
		{id: "8ffcd551-079c-493a-9c02-54346299d144", area: dt, resource: "packages", preview: true,
			template: "_apis/{area}/{resource}/{packageType}/{platform}/{version}", methods: methods{get: h((*Emulator).getPackages)}},
		{id: "557624af-b29e-4c20-8ab0-0399d2204f3f", area: dt, resource: "events", preview: true,
			template: plan + "{resource}", methods: methods{post: h((*Emulator).planEvent)}},
		{id: "858983e4-19bd-4c5e-864c-507b59b58b12", area: dt, resource: "feed", preview: true,
			template: plan + "timelines/{timelineId}/records/{recordId}/{resource}", methods: methods{post: h((*Emulator).postFeed)}},
		{id: "8893bc5b-35b2-4be7-83cb-99e683551db4", area: dt, resource: "records", preview: true,
			template: plan + "timelines/{timelineId}/{resource}",
			methods:  methods{get: h((*Emulator).getRecords), patch: h((*Emulator).updateRecords)}},
		{id: "83597576-cc2c-453c-bea6-2882ae6a1653", area: dt, resource: "timelines", preview: true,
			template: plan + "{resource}/{timelineId}", methods: methods{get: h((*Emulator).getTimeline)}},
		{id: "46f5667d-263a-4684-91b1-dff7fdcf64e2", area: dt, resource: "logs", preview: true,
			template: plan + "{resource}/{logId}", methods: methods{get: h((*Emulator).getLogs), post: h((*Emulator).postLog)}},
	}
	for i := range table {
		t := strings.NewReplacer("{area}", table[i].area, "{resource}", table[i].resource).Replace(table[i].template)
		table[i].segments = strings.Split(t, "/")
	}
	return table
}
