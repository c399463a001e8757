package script

import (
	"encoding/json"
	"os"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/azptend/azptend/internal/emulator"
)

// cmdStage adds the agents in a file to the pool, in testdata/stage or of the script: stage FILE.
// pool.json has ghosts, placeholders of several tools, and agents that are busy or starting.
func cmdStage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stage FILE")
	}
	text, err := os.ReadFile("testdata/stage/" + args[0])
	if os.IsNotExist(err) {
		text, err = []byte(ts.ReadFile(args[0])), nil
	}
	ts.Check(err)
	var specs []emulator.AgentSpec
	ts.Check(json.Unmarshal(text, &specs))
	_, err = stageOf(ts).emulator.PutAgents(specs...)
	ts.Check(err)
}

// cmdRemain checks that the pool has exactly these agents: remain NAME...
func cmdRemain(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: remain NAME...")
	}
	names := agentNames(stageOf(ts).emulator.State())
	slices.Sort(args)
	if !slices.Equal(names, args) {
		ts.Fatalf("the pool holds %q", names)
	}
}

func agentNames(s emulator.State) []string {
	names := []string{}
	for _, p := range s.Pools {
		for _, a := range p.Agents {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names
}
