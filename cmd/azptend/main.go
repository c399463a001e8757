// Command azptend runs Azure Pipelines agents, and maintains their pools.
package main

import (
	"os"
	"runtime"
	"time"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/config"
)

// The main goroutine keeps the main thread; see cli.OffMainThread.
func init() { runtime.LockOSThread() }

func main() {
	os.Exit(cli.OffMainThread(func() int {
		return cli.Main(cli.Process{
			Name: "azptend", Args: os.Args, Environ: config.Environment(), Stdout: os.Stdout, Stderr: os.Stderr, Began: time.Now(),
		})
	}))
}
