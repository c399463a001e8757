package agentdir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/azptend/azptend/internal/safefile"
)

const (
	// ownerFile is the file with the OwnerRecord.
	ownerFile = ".azptend-owner"
	// maxOwnerRecord is the maximum size of that file, more than a record needs.
	maxOwnerRecord = 64 << 10
)

// OwnerRecord proves, after azptend was killed, which agent in a pool belongs to this
// directory. It is written before the POST, because the answer to that may be lost, and
// removed with the agent. It does not contain the agent's id, which is in .agent.
//
// Jobs can write to the directory, and so can forge a record. But they cannot forge one that
// matches another agent in the pool: the pool shows only the hash of Key. So a record never
// proves that another machine's agent is ours.
type OwnerRecord struct {
	AgentName string `json:"agentName"`
	PoolID    int    `json:"poolId"`
	PoolName  string `json:"poolName"`
	ServerURL string `json:"serverUrl"`
	Instance  string `json:"instance"` // the value of TagInstance
	Key       string `json:"key"`      // a random text; TagOwner is its hash
	Home      string `json:"home"`     // the value of TagHost
	// HandedOver says that another azptend runs the agent, so this one does not remove it.
	HandedOver bool `json:"handedOver,omitempty"`
}

// OwnerTag is the value of TagOwner for a record with this key.
func OwnerTag(key string) string {
	hash := sha256.Sum256([]byte("azptend owner " + key))
	return hex.EncodeToString(hash[:])
}

// Proves reports whether an agent in the record's pool is the recorded one, by its name and
// its user capabilities on the server.
func (o OwnerRecord) Proves(name string, tags map[string]string) bool {
	return o.Key != "" && o.Instance != "" && strings.EqualFold(name, o.AgentName) &&
		tags[TagInstance] == o.Instance && tags[TagOwner] == OwnerTag(o.Key)
}

// Matches reports whether the record and .agent are about the same agent.
func (o OwnerRecord) Matches(r Registration) bool {
	return o.PoolID == r.PoolID && strings.EqualFold(o.AgentName, r.AgentName)
}

// WriteOwner writes the record atomically. The error is a *DirError.
func (d Dir) WriteOwner(o OwnerRecord) error {
	return d.writeJSON(ownerFile, o)
}

// Owner reads the record. An invalid record counts as none.
func (d Dir) Owner() (o OwnerRecord, found bool) {
	b, err := safefile.Dir(d.Root).ReadFile(ownerFile, maxOwnerRecord)
	if err != nil || json.Unmarshal(b, &o) != nil || o.AgentName == "" || o.PoolID <= 0 {
		return OwnerRecord{}, false
	}
	return o, true
}

// RemoveOwner removes the record, if there is one.
func (d Dir) RemoveOwner() error {
	return safefile.RemoveAll(filepath.Join(d.Root, ownerFile))
}
