package agentdir

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

// ownerFile is the directory's record of the agent that azptend registers for it.
const ownerFile = ".azptend-owner"

// maxOwnerRecord is more than a record needs.
const maxOwnerRecord = 64 << 10

// OwnerRecord proves after azptend was killed which agent of a pool is this
// directory's. It is written before the agent is registered, for the answer to that
// may be lost, and is removed with the agent. It does not hold the agent's id, which
// is in .agent.
//
// Jobs can write to the directory, and so can forge a record. What they read about
// another agent in its pool does not help: the pool shows the hash of Key, and not
// Key. So a record never proves that another machine's agent is ours.
type OwnerRecord struct {
	AgentName string `json:"agentName"`
	PoolID    int    `json:"poolId"`
	PoolName  string `json:"poolName"`
	ServerURL string `json:"serverUrl"`
	Instance  string `json:"instance"` // the value of MarkInstance
	Key       string `json:"key"`      // its hash is the value of MarkOwner
	Home      string `json:"home"`     // the value of MarkHost
	// HandedOver says that another azptend runs the agent, and that it is not removed
	// when this one ends.
	HandedOver bool `json:"handedOver,omitempty"`
}

// NewOwnerKey makes the secret of a record.
func NewOwnerKey() string { return rand.Text() }

// OwnerTag is the value of MarkOwner for a record with this key.
func OwnerTag(key string) string {
	hash := sha256.Sum256([]byte("azptend owner " + key))
	return hex.EncodeToString(hash[:])
}

// Proves says whether an agent of the record's pool is the record's, by its name
// and its user capabilities as the server shows them.
func (o OwnerRecord) Proves(name string, tags map[string]string) bool {
	return o.Key != "" && o.Instance != "" && strings.EqualFold(name, o.AgentName) &&
		tags[TagInstance] == o.Instance && tags[TagOwner] == OwnerTag(o.Key)
}

// Matches says whether the record and the agent's settings (.agent) are about the same
// agent.
func (o OwnerRecord) Matches(r Registration) bool {
	return o.PoolID == r.PoolID && strings.EqualFold(o.AgentName, r.AgentName)
}

// WriteOwner writes the record, whole or not at all. The error is an *UnfitError.
func (f Dir) WriteOwner(o OwnerRecord) error {
	return f.writeJSON(ownerFile, o)
}

// Owner reads the record. One that is not there, or makes no sense, is none.
func (f Dir) Owner() (o OwnerRecord, found bool) {
	b, err := safefile.Dir(f.Root).ReadFile(ownerFile, maxOwnerRecord)
	if err != nil || json.Unmarshal(b, &o) != nil || o.AgentName == "" || o.PoolID <= 0 {
		return OwnerRecord{}, false
	}
	return o, true
}

// RemoveOwner removes the record. One that is not there is no error.
func (f Dir) RemoveOwner() error {
	return safefile.RemoveAll(filepath.Join(f.Root, ownerFile))
}

// MayHaveLeftAgent says that an azptend in this folder has not removed its agent:
// it was killed, or could not.
func (f Dir) MayHaveLeftAgent() bool {
	record, found := f.Owner()
	return (found && !record.HandedOver) || f.PreviousRunKilled()
}
