package supervisor

import (
	"context"
	"crypto/rand"
	"maps"
	"time"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/bounded"
	"github.com/azptend/azptend/internal/lifecycle"
)

// register POSTs the agent. Each registration has its own key and TagInstance, so that it
// cannot be confused with an earlier one. A POST that is repeated because it added no agent
// keeps them: if the server acts on the first POST later, the tag shows that the agent is
// ours.
func (r *runner) register() func(context.Context) message {
	key, instance, ownerKey := r.key, r.instance, r.ownerKey
	if r.keyUsed || instance == "" {
		instance, ownerKey = rand.Text(), rand.Text()
	}
	renewKey := r.keyUsed
	a := r.newAgent(instance, ownerKey)
	r.agentRef = registrationRef{pool: r.pool, name: r.o.Name}
	r.hasRecord = true // soon
	record := agentdir.OwnerRecord{
		AgentName: r.o.Name, PoolID: r.pool.ID, PoolName: r.pool.Name, ServerURL: r.o.URL,
		Instance: instance, Key: ownerKey, Home: r.home, HandedOver: r.o.Policy.RegisterOnly,
	}
	dir, poolID := r.o.Dir, r.pool.ID
	return func(ctx context.Context) message {
		if renewKey {
			var err error
			if key, err = agentdir.GenerateKey(); err != nil {
				return message{event: lifecycle.RegisterResult{Result: resultOf(err)}}
			}
		}
		// Write the record before the POST: if the answer is lost, or azptend is killed, it
		// proves that the agent is ours.
		if err := bounded.Do(ctx, func() error { return dir.AsUser(func() error { return dir.WriteOwner(record) }) }); err != nil {
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

// newAgent is the body of the POST. Its tags identify the agent even if the answer to the
// POST is lost.
func (r *runner) newAgent(instance, ownerKey string) azdo.Agent {
	user := map[string]string{}
	maps.Copy(user, r.userCapabilities)
	maps.Copy(user, r.o.Capabilities)
	user[agentdir.TagInstance] = instance
	user[agentdir.TagOwner] = agentdir.OwnerTag(ownerKey)
	user[agentdir.TagHost] = r.home
	user[agentdir.TagKind] = agentdir.KindAgent
	if r.o.Group != "" {
		user[agentdir.TagGroup] = r.o.Group
	}
	if r.o.Policy.RegisterOnly {
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

// hasCredentials reports whether an answer has what the listener needs to log on.
func hasCredentials(a azdo.Agent) bool {
	return a.Authorization != nil && a.Authorization.ClientID != "" && a.Authorization.AuthorizationURL != ""
}

// confirmTimeout bounds confirmTags.
const confirmTimeout = time.Minute

// confirmTags reads the agent's owner tags back once its session exists, and writes them
// again if they are missing. Creating a session replaces the system capabilities; that the
// server keeps the user capabilities is an assumption (agent-protocol.md 2.2, 11). Without
// tags, neither the next run nor prune recognises the agent.
func (r *runner) confirmTags() {
	if r.o.Handoff != nil || r.confirmedInstance == r.instance || r.state.AgentID == 0 {
		return
	}
	r.confirmedInstance = r.instance
	poolID, id, name := r.agentRef.pool.ID, r.state.AgentID, r.agentRef.name
	want := r.newAgent(r.instance, r.ownerKey).UserCapabilities
	r.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
		defer cancel()
		a, err := r.o.Server.AgentByID(ctx, poolID, id, azdo.Include{Capabilities: true})
		if err != nil {
			r.log.Debug("Cannot read the agent's owner tags back", "agent_id", id, "error", err)
			return
		}
		has := a.UserCapabilities
		if has[agentdir.TagInstance] == want[agentdir.TagInstance] && has[agentdir.TagOwner] == want[agentdir.TagOwner] {
			r.log.Debug("The server stored the agent's owner tags", "agent_id", id)
			return
		}
		all := map[string]string{}
		maps.Copy(all, has)
		maps.Copy(all, want)
		if err := r.o.Server.SetUserCapabilities(ctx, poolID, id, all); err != nil {
			r.log.Warn("The server did not store the agent's owner tags, and refused them again: the next run will not recognise this agent",
				"agent", name, "agent_id", id, "error", err)
			return
		}
		r.log.Warn("The server did not store the agent's owner tags: wrote them again", "agent", name, "agent_id", id)
	})
}
