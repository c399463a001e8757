package supervisor

import (
	"context"
	"crypto/rand"
	"maps"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/lifecycle"
)

// register POSTs the agent. A key and a mark serve one registration: another
// one, after that agent was deleted, gets its own, so that no leftover can be
// taken for it. A POST that is repeated because it left no agent keeps them: if
// the first is acted on after all, what it makes is known by its mark.
func (r *runner) register() func(context.Context) message {
	key, instance, ownerKey := r.key, r.instance, r.ownerKey
	if r.keyUsed || instance == "" {
		instance, ownerKey = rand.Text(), agentdir.NewOwnerKey()
	}
	renewKey := r.keyUsed
	a := r.newAgent(instance, ownerKey)
	r.agentRef = registrationRef{pool: r.pool, name: r.o.Name}
	r.hasRecord = true // or will be
	record := agentdir.OwnerRecord{
		AgentName: r.o.Name, PoolID: r.pool.ID, PoolName: r.pool.Name, ServerURL: r.o.URL,
		Instance: instance, Key: ownerKey, Home: r.home(), HandedOver: r.o.RegisterOnly,
	}
	poolID := r.pool.ID
	return func(ctx context.Context) message {
		if renewKey {
			var err error
			if key, err = agentdir.GenerateKey(); err != nil {
				return message{event: lifecycle.RegisterResult{Result: resultOf(err)}}
			}
		}
		// Before the POST: if its answer is lost, or azptend is killed, the record is what
		// proves that the agent is ours.
		if err := inTime(ctx, func() error { return r.o.asUser(func() error { return r.o.Dir.WriteOwner(record) }) }); err != nil {
			return message{event: lifecycle.RegisterResult{Result: resultOf(err)}}
		}
		exponent, modulus := agentdir.PublicKey(key)
		a.Authorization = &azdo.Authorization{PublicKey: &azdo.PublicKey{Exponent: exponent, Modulus: modulus}}
		begun := time.Now()
		added, err := r.o.Server.AddAgent(ctx, poolID, a)
		spent := time.Since(begun)
		return message{
			apply: func(r *runner) {
				r.key, r.instance, r.ownerKey, r.keyUsed = key, instance, ownerKey, err == nil
				r.registered, r.times.register = added, spent
				r.times.startAt(begun)
			},
			event: lifecycle.RegisterResult{Result: resultOfPost(err), AgentID: added.ID},
		}
	}
}

// newAgent is the agent as the server is to know it. The mark goes along, so
// that even an agent whose answer was lost can be told from a stranger's.
func (r *runner) newAgent(instance, ownerKey string) azdo.Agent {
	user := map[string]string{}
	maps.Copy(user, r.userCapabilities)
	maps.Copy(user, r.o.Capabilities)
	user[agentdir.TagInstance] = instance
	user[agentdir.TagOwner] = agentdir.OwnerTag(ownerKey)
	user[agentdir.TagHost] = r.home()
	user[agentdir.TagKind] = agentdir.KindAgent
	if r.o.RegisterOnly {
		user[agentdir.TagRemoval] = agentdir.RemovalByKeeper
	}
	return azdo.Agent{
		Name:               r.o.Name,
		Version:            r.version,
		OSDescription:      agentdir.OSDescription(),
		MaxParallelism:     1,
		ProvisioningState:  "Provisioned",
		SystemCapabilities: agentdir.SystemCapabilities(r.o.Name, r.version, r.o.HostName, r.o.Dir.Root),
		UserCapabilities:   user,
	}
}

var errIncomplete = &permanentError{why: "the server's answer to the registration lacks the agent's client id or its authorization URL"}

// hasCredentials says that an answer holds all the listener needs to log on.
func hasCredentials(a azdo.Agent) bool {
	return a.Authorization != nil && a.Authorization.ClientID != "" && a.Authorization.AuthorizationURL != ""
}

// registration is what the listener starts from.
func (s starter) registration(notifications string) (agentdir.Registration, error) {
	if !hasCredentials(s.granted) {
		return agentdir.Registration{}, errIncomplete
	}
	server := agentdir.ServerURL(s.o.URL, s.granted.Properties.Text("ServerUrl"))
	return agentdir.Registration{
		AgentID:          s.granted.ID,
		AgentName:        s.o.Name,
		PoolID:           s.pool.ID,
		PoolName:         s.pool.Name,
		ServerURL:        server,
		WorkFolder:       s.o.WorkFolder,
		ClientID:         s.granted.Authorization.ClientID,
		AuthorizationURL: s.granted.Authorization.AuthorizationURL,
		OAuthEndpointURL: agentdir.OAuthEndpointURL(server, s.granted.Authorization.AuthorizationURL),
		Notifications:    notifications,
	}, nil
}
