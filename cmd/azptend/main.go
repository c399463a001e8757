// Command azptend tends Azure Pipelines agents.
package main

import (
	"os"
	"time"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/config"
)

func main() {
	os.Exit(cli.Main(cli.Process{
		Name: "azptend", Args: os.Args, Environ: config.Environment(), Stdout: os.Stdout, Stderr: os.Stderr, Began: time.Now(),
	}))
}
