package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/doctor"
	"github.com/azptend/azptend/internal/emulator"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
)

// misconfigured is a row of azure-devops-rest.md 5: an organisation that somebody
// has set up not quite.
type misconfigured struct {
	row    string
	emul   func(*emulator.Options)
	wrong  func(*stage)
	check  doctor.Name   // "": nothing fails
	cause  *doctor.Cause // that the check gives
	code   int
	run    *doctor.Cause // how run's own failure is explained; nil: the same
	says   string        // is in what was seen
	warned bool          // it is a warning, and run works
	clock  bool          // the clocks differ, so that the check of them fails too
}

// judgedByRun is for what run finds out itself, without asking the server.
var judgedByRun = &doctor.Cause{}

func longAgo(o *emulator.Options) {
	o.Now = func() time.Time { return time.Now().Add(-48 * time.Hour) }
}

func misconfigurations() []misconfigured {
	return slices.Concat(notLetIn(), badTokens(), noPool(), otherwise())
}

func notLetIn() []misconfigured {
	const guest = "22222222-0000-4000-8000-000000000000"
	return []misconfigured{
		{row: "SP/MI not in org", wrong: func(s *stage) { s.change(func(i *emulator.Identity) { i.Member = false }) },
			check: doctor.Membership, cause: doctor.NotAMember, code: 77, says: "TF401444"},
		{row: "SP known but org refuses", wrong: func(s *stage) { s.change(func(i *emulator.Identity) { i.Refused = true }) },
			check: doctor.Membership, cause: doctor.NotAuthorized, code: 77, says: "TF400813"},
		{row: "wrong tenant token", wrong: func(s *stage) { s.change(func(i *emulator.Identity) { i.Tenant = guest }) },
			check: doctor.Tenant, cause: doctor.WrongTenant, code: 77, run: doctor.Refused, says: "the token belongs to tenant " + guest},
		{row: "wrong tenant token, answered with 429", wrong: func(s *stage) {
			s.SetAssumptions(emulator.Assumptions{WrongTenantThrottled: true})
			s.change(func(i *emulator.Identity) { i.Tenant = guest })
		}, check: doctor.Tenant, cause: doctor.WrongTenant, code: 77, run: doctor.Throttled, says: guest},
		{row: "an organisation of Microsoft accounts", wrong: func(s *stage) { s.SetPolicies(emulator.Policies{WithoutEntra: true}) },
			check: doctor.Tenant, cause: doctor.NoEntra, code: 77, run: doctor.Refused, says: "no Entra tenant"},
		{row: "conditional access / IP", wrong: func(s *stage) {
			s.change(func(i *emulator.Identity) { i.ConditionalAccess = emulator.PolicyAtService })
		}, check: doctor.SignIn, cause: doctor.ConditionalAccess, code: 77, says: "VS403463"},
		{row: "conditional access, at Entra ID", wrong: func(s *stage) {
			s.change(func(i *emulator.Identity) {
				i.Kind, i.Secret, i.ConditionalAccess = emulator.KindServicePrincipal, "s3cret", emulator.PolicyAtEntra
				i.ClientID = "11111111-0000-4000-8000-0000000000c1"
			})
			s.identity = identity.Options{Source: identity.ServicePrincipal, Application: identity.Application{ClientID: s.who.ClientID, TenantID: s.Tenant, Secret: secret.New("s3cret")}}
		}, check: doctor.Token, cause: doctor.EntraPolicy, code: 69, says: "AADSTS53003"},
		{row: `org policy "Third-party application access via OAuth" off`, wrong: func(s *stage) {
			s.SetPolicies(emulator.Policies{NoThirdPartyOAuth: true})
		}},
		{row: "wrong org name", wrong: func(s *stage) { s.URL = s.server.URL + "/emulate" },
			check: doctor.Organisation, cause: doctor.NoOrganisation, code: 69, says: "answers 404"},
		{row: "wrong project for WIF service conn", wrong: func(s *stage) {
			s.fault(emulator.Fault{Path: "connectionData|/pools", Status: 404, Nth: 2,
				Body: `{"message":"VS800075: The project with id 'vstfs:///Classification/TeamProject/x' does not exist, or you do not have permission to access it.","typeKey":"ProjectDoesNotExistException"}`})
		}, check: doctor.Membership, cause: doctor.NoProject, code: 77, says: "VS800075"},
		{row: "SP via service connection not in org", wrong: func(s *stage) {
			s.fault(emulator.Fault{Path: "connectionData|/pools", Status: 401, Nth: 2,
				Body: `{"message":"The Managed Identity / Service Principal ` + "`agents` does not have access to Azure DevOps organization `emulated`" + `. Please make sure the identity has been added to the organization."}`})
		}, check: doctor.Membership, cause: doctor.ServiceConnection, code: 77, says: "does not have access"},
	}
}

func badTokens() []misconfigured {
	return []misconfigured{
		{row: "no/blank token", wrong: func(s *stage) { s.tokenFile("  \n") },
			check: doctor.Token, cause: doctor.BadTokenFile, code: 69},
		{row: "no/blank token, where something is public", wrong: func(s *stage) {
			s.SetPolicies(emulator.Policies{PublicProjects: true})
			s.tokenFile("nobodys")
		}, check: doctor.Membership, cause: doctor.Unrecognised, code: 77, run: doctor.NotAuthorized, says: "Anonymous"},
		{row: "invalid token", wrong: func(s *stage) { s.tokenFile("nobodys") },
			check: doctor.SignIn, cause: doctor.Refused, code: 77},
		{row: "expired token, by the server's clock", wrong: func(s *stage) {
			s.tokenFile(s.entraToken(""))
			s.Advance(30 * time.Hour)
		}, check: doctor.SignIn, cause: doctor.Refused, code: 77, clock: true},
		{row: "expired token, shown the sign-in page", wrong: func(s *stage) {
			s.SetAssumptions(emulator.Assumptions{ExpiredTokenSignIn: true})
			s.tokenFile(s.entraToken(""))
			s.Advance(30 * time.Hour)
		}, check: doctor.SignIn, cause: doctor.SignInPage, code: 77, clock: true},
		{row: "expired token, in a file", emul: longAgo, wrong: func(s *stage) { s.tokenFile(s.entraToken("")) },
			check: doctor.Token, cause: doctor.TokenExpired, code: 77, clock: true, run: judgedByRun, says: "the token expired at"},
		{row: "expired PAT", wrong: func(s *stage) {
			s.pat(emulator.PAT{Expires: time.Now().Add(-time.Hour), Roles: emulator.Roles{emulator.AllPools: emulator.RoleAdministrator}})
		}, check: doctor.SignIn, cause: doctor.PATExpired, code: 77},
		{row: "PAT lacks vso.agentpools(_manage)", wrong: func(s *stage) {
			s.pat(emulator.PAT{Scopes: []string{"vso.code"}, Roles: emulator.Roles{emulator.AllPools: emulator.RoleAdministrator}})
		}, check: doctor.SignIn, cause: doctor.Refused, code: 77},
		{row: "a PAT for pools alone that may not ask whose it is", wrong: func(s *stage) {
			s.pat(emulator.PAT{Roles: emulator.Roles{emulator.AllPools: emulator.RoleAdministrator}})
			s.fault(emulator.Fault{Path: "connectionData\\?", Status: 401})
		}},
		{row: "token for wrong audience (ARM)", wrong: func(s *stage) { s.tokenFile(s.entraToken("https://management.azure.com")) },
			check: doctor.Token, cause: doctor.WrongAudience, code: 77, run: doctor.Refused, says: "https://management.azure.com"},
	}
}

func noPool() []misconfigured {
	roles := func(r map[string]string) func(*stage) {
		return func(s *stage) { s.change(func(i *emulator.Identity) { i.Roles = r }) }
	}
	return []misconfigured{
		{row: "Stakeholder", wrong: func(s *stage) { s.change(func(i *emulator.Identity) { i.License = "stakeholder" }) },
			check: doctor.Licence, cause: doctor.Stakeholder, warned: true},
		{row: "no licence", wrong: func(s *stage) { s.change(func(i *emulator.Identity) { i.License = "none" }) },
			check: doctor.Licence, cause: doctor.NoLicence, warned: true},
		{row: "no licence, and so no pool", wrong: func(s *stage) {
			s.SetAssumptions(emulator.Assumptions{UnlicensedSeesNothing: true})
			s.change(func(i *emulator.Identity) { i.License = "none" })
		}, check: doctor.Pool, cause: doctor.NoPoolsLicence, code: 77, run: doctor.NoPools, says: "its licence is no licence"},
		{row: "no View on any pool", wrong: roles(nil), check: doctor.Pool, cause: doctor.NoPools, code: 77, says: "nor is any other"},
		{row: "no View on pool, and on another", wrong: roles(map[string]string{"Linux builds": emulator.RoleReader}),
			check: doctor.Pool, cause: doctor.PoolNotAmong, code: 77, says: `which sees "Linux builds"`},
		{row: "no View on pool, by its id", wrong: func(s *stage) {
			s.change(func(i *emulator.Identity) { i.Roles = map[string]string{"Linux builds": emulator.RoleReader} })
			s.PoolID = 1
		}, check: doctor.Pool, cause: doctor.PoolNotAmong, code: 77, says: "agent pool 1"},
		{row: "the pool's name is mistyped", wrong: func(s *stage) {
			s.change(func(i *emulator.Identity) { i.Roles = map[string]string{emulator.AllPools: emulator.RoleAdministrator} })
			s.Settings.Pool = "linux-build"
		}, check: doctor.Pool, cause: doctor.PoolNotAmong, code: 77, says: `did you mean "Linux builds"?`},
		{row: "View but not Manage", wrong: roles(map[string]string{"Default": emulator.RoleReader}),
			check: doctor.Role, cause: doctor.NoManage, code: 77, says: "its role is Reader"},
		{row: "Service Account, and not Manage", wrong: roles(map[string]string{"Default": emulator.RoleServiceAccount}),
			check: doctor.Role, cause: doctor.NoManage, code: 77, says: "its role is Service Account"},
		{row: "Manage on queue only (project)", wrong: func(s *stage) {
			s.change(func(i *emulator.Identity) { i.Roles = map[string]string{"Default": emulator.RoleReader} })
			s.manageQueue()
		}, check: doctor.Role, cause: doctor.NoManage, code: 77, says: "its role is Reader"},
	}
}

func otherwise() []misconfigured {
	kind := func(p emulator.PoolSpec) func(*stage) {
		return func(s *stage) {
			p.Name = "Default"
			if err := s.PutPool(p); err != nil {
				s.Fatal(err)
			}
			s.PoolID = 1 // by its name a deployment pool is not even found
		}
	}
	return []misconfigured{
		{row: "nothing is wrong", wrong: func(*stage) {}},
		{row: "a hosted pool", wrong: kind(emulator.PoolSpec{Hosted: true}), check: doctor.PoolKind, cause: doctor.HostedPool, code: 69, run: judgedByRun},
		{row: "a scale set pool", wrong: kind(emulator.PoolSpec{Elastic: true}), check: doctor.PoolKind, cause: doctor.ElasticPool, code: 69, run: judgedByRun},
		{row: "a deployment pool", wrong: kind(emulator.PoolSpec{Deployment: true}), check: doctor.PoolKind, cause: doctor.DeploymentPool, code: 69, run: judgedByRun},
		{row: "the service is down", wrong: func(s *stage) { s.fault(emulator.Fault{Path: "/emulated/", Status: 503}) },
			check: doctor.Organisation, cause: doctor.Unavailable, code: 69},
		{row: "somebody else answers", wrong: func(s *stage) {
			s.fault(emulator.Fault{Path: "/emulated/", Status: 200, ContentType: "text/plain", Body: "welcome to the airport"})
		}, check: doctor.Organisation, cause: doctor.NotDevOps, code: 69},
		{row: "it leads elsewhere", wrong: func(s *stage) {
			s.fault(emulator.Fault{Path: "/emulated/", Status: 302, Headers: map[string]string{"Location": "https://example.com/portal?secret=x"}})
		}, check: doctor.Organisation, cause: doctor.Redirects, code: 69, says: "redirects to https://example.com/portal"},
	}
}

// TestMisconfigurations: each comes out as what it is, with the code that run
// would end with; everything before it is well, and everything that it stands in
// the way of says so. Run's own failure is explained by the same table.
func TestMisconfigurations(t *testing.T) {
	for _, m := range misconfigurations() {
		t.Run(m.row, func(t *testing.T) {
			s := newStage(t, func(o *emulator.Options) {
				if m.emul != nil {
					m.emul(o)
				}
			})
			m.wrong(s)
			client := s.ready()
			report := doctor.Run(t.Context(), s.Environment, nil)
			judge(t, m, report)
			err := s.runs(client)
			explained := doctor.Explain(err)
			switch want := m.run; {
			case want == judgedByRun:
			case m.check == "" || m.warned:
				if err != nil {
					t.Errorf("run fails: %v", err)
				}
			case want == nil:
				if explained != m.cause {
					t.Errorf("run's failure %v is explained by %v", err, explained)
				}
			case explained != want:
				t.Errorf("run's failure %v is explained by %v, want %v", err, explained, want)
			}
		})
	}
}

func judge(t *testing.T, m misconfigured, r doctor.Report) {
	t.Helper()
	if r.Code() != m.code {
		t.Errorf("run would end with %d, want %d", r.Code(), m.code)
	}
	failed := doctor.Name("")
	for _, f := range r.Findings {
		switch {
		case f.Verdict == doctor.Failed && failed == "":
			failed = f.Check
		case f.Verdict == doctor.Failed && f.Check == doctor.Clock && m.clock:
		case f.Verdict == doctor.Failed:
			t.Errorf("%s failed too: %s", f.Check, f.Found)
		case f.Verdict == doctor.Skipped && f.BlockedBy != "" && f.BlockedBy != failed:
			t.Errorf("%s is blocked by %s, and %s failed", f.Check, f.BlockedBy, failed)
		}
	}
	if m.check == "" {
		if failed != "" {
			t.Errorf("%s failed: %+v", failed, r.Of(failed))
		}
		return
	}
	f := r.Of(m.check)
	if (failed == m.check) == m.warned || len(f.Problems) != 1 || f.Problems[0].Cause != m.cause {
		t.Fatalf("%s failed; %s found %+v", failed, m.check, f)
	}
	if p := f.Problems[0]; !strings.Contains(p.What, m.says) || p.Fix == "" || f.Why == "" {
		t.Errorf("it says %+v, and should say %q and what to do", f, m.says)
	}
	for _, name := range f.Blocks {
		if after := r.Of(name); !m.warned && (after.Verdict != doctor.Skipped || after.BlockedBy != m.check) {
			t.Errorf("%s is blocked, and is %+v", name, after)
		}
	}
}

// TestAnAgentThatIsGone is the table's last row: somebody deleted the agent while
// it ran.
func TestAnAgentThatIsGone(t *testing.T) {
	s := newStage(t)
	client := s.ready()
	a, err := client.AddAgent(t.Context(), 1, someAgent("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.RemoveAgent(t.Context(), 1, a.ID); err != nil {
		t.Fatal(err)
	}
	_, err = client.AgentByID(t.Context(), 1, a.ID, azdo.Include{AssignedRequest: true})
	if c := doctor.Explain(err); c != doctor.AgentGone {
		t.Errorf("%v is explained by %v", err, c)
	}
}
