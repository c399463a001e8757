// Command azptend-lab is azptend with a fake Azure DevOps, a fake identity endpoint and a fake agent.
// It has all of azptend's commands, and the commands demo and emulate.
package main

import (
	"os"
	"runtime"
	"time"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/lab"
)

// The main goroutine keeps the main thread; see cli.OffMainThread.
func init() { runtime.LockOSThread() }

func main() {
	os.Exit(cli.OffMainThread(func() int {
		return lab.Main(cli.Process{
			Name: "azptend-lab", Args: os.Args, Environ: config.Environment(), Stdout: os.Stdout, Stderr: os.Stderr, Began: time.Now(),
		})
	}))
}
