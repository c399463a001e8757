package emulator

// area is one entry of ResourceAreas; host is which of the three hosts serves it.
type area struct{ id, name, host string }

// resourceAreaTable holds the areas of azure-devops-rest.md 1.2 first, then the rest of those that go-api's clients
// look up: a client asks for the areas it may need before it needs them, and fails on one that is missing, although
// most of them lead to a 404 here. The names of that rest are go-api's packages.
func resourceAreaTable() []area {
	return []area{
		{"a85b8835-c1a1-4aac-ae97-1c3d0ba72dbd", "distributedtask", ""},
		{"79134c72-4a58-4b42-976c-04e7115f32bf", "core", ""},
		{"a81a0441-de52-4000-aa15-ff0e07bfbbaa", "PipelinePermissions", ""},
		{"4a933897-0488-45af-bd82-6fd3ad33f46a", "PipelinesChecks", ""},
		{"68ddce18-2501-45f1-a17b-7931a9922690", "MemberEntitlementManagement", "vsaex"},
		{"bb1e7ec9-e901-4b68-999a-de7012b920f8", "Graph", "vssps"},
		{"8a3d49b8-91f0-46ef-b33d-dda338c25db3", "IMS", "vssps"},
		{"0d55247a-1c47-4462-9b1f-5e2125590ee6", "accounts", "vssps"},
		{"94ff054d-5ee1-413d-9341-3f4a7827de2e", "audit", ""},
		{"965220d5-5bb9-42cf-8d67-9b146df2a5a4", "build", ""},
		{"8477aec9-a4c7-4bd4-a456-ba4c53c989cb", "contributions", ""},
		{"31c84e0a-3ece-48fd-a29d-100849af99ba", "dashboard", ""},
		{"6c2b0933-3600-42ae-bf8b-93d4f7e83594", "extensionmanagement", ""},
		{"7ab4e64e-c4d8-4f50-ae73-5ef2e21642a5", "feed", ""},
		{"69d21c00-f135-441b-b5ce-3626378e0819", "gallery", ""},
		{"4e080c62-fa21-4fbc-8fef-2a10a2b38049", "git", ""},
		{"6f7f8c07-ff36-473c-bcf3-bd6cc9b6c066", "maven", ""},
		{"4c83cfc1-f33a-477e-a789-29d38ffca52e", "npm", ""},
		{"b3be7473-68ea-4a81-bfc7-9530baaa19ad", "nuget", ""},
		{"5b55a9b6-2e0f-40d7-829d-3741d2b8c4e4", "pipelinesapproval", ""},
		{"fb13a388-40dd-4a04-b530-013a739c72ef", "policy", ""},
		{"8ccfef3d-2b87-4e99-8ccb-66e343d2daa8", "profile", "vssps"},
		{"7658fa33-b1bf-4580-990f-fac5896773d3", "projectanalysis", ""},
		{"b40c1171-807a-493a-8f3f-5c26d5e2f5aa", "provenance", ""},
		{"92f0314b-06c5-46e0-abe7-15fd9d13276a", "pypiapi", ""},
		{"efc2f575-36ef-48e9-b672-0c6fb4a48ac5", "release", ""},
		{"ea48a0a1-269c-42d8-b8ad-ddc8fcdcf578", "search", ""},
		{"1814ab31-2f4f-4a9f-8761-f4d77dc5a5d7", "serviceendpoint", ""},
		{"af607f94-69ba-4821-8159-f04e37b66350", "symbol", ""},
		{"c2aa639c-3ccc-4740-b3b6-ce2a1e1d984e", "test", ""},
		{"c83eaf52-edf3-4034-ae11-17d38f25404c", "testresults", ""},
		{"8aa40520-446d-40e6-89f6-9c9f9ce44c48", "tfvc", ""},
		{"af68438b-ed04-4407-9eb6-f1dbae3f922e", "tokenadmin", "vssps"},
		{"d397749b-f115-4027-b6dd-77a65dd10d21", "universal", ""},
		{"bf7d82a0-8aa5-4613-94ef-6172a5ea01f3", "wiki", ""},
		{"1d4f49f9-02b9-4e26-b826-2cdb6195f2a9", "work", ""},
		{"5264459e-e5e0-4bd8-b118-0985e68a4ec5", "wit", ""},
	}
}
