// Command unguarded is azptend without one of its protections, so that a test
// can show that the protection is needed: then TestThief's thief succeeds.
//
//	unguarded PROTECTION run …
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/azptend/azptend/internal/cli"
	"github.com/azptend/azptend/internal/config"
)

func main() {
	p, err := without(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "unguarded:", err)
		os.Exit(2)
	}
	os.Exit(cli.Main(p))
}

func without(args []string) (cli.Process, error) {
	if len(args) < 2 {
		return cli.Process{}, fmt.Errorf("usage: unguarded PROTECTION run …")
	}
	p := cli.Process{
		Args: slices.Concat(args[:1], args[2:]), Environ: config.Environment(),
		Stdout: os.Stdout, Stderr: os.Stderr, Began: time.Now(),
	}
	switch what := args[1]; what {
	case "undumpable":
		p.Without = cli.Without{Undumpable: true}
	case "filter":
		p.Without = cli.Without{Filter: true}
	case "run-as":
		p.Without = cli.Without{OtherUser: true}
	case "peer-check":
		p.Without = cli.Without{Port: openCredulous}
	case "closed-port":
		p.Without = cli.Without{Port: openEver}
	case "argv":
		// A token that could be given as a flag would be seen in the process table.
		p.Args, p.Environ = tokenFromFlag(p.Args, p.Environ)
	default:
		return cli.Process{}, fmt.Errorf("there is no protection %q", what)
	}
	return p, nil
}

func tokenFromFlag(args, environ []string) (rest, env []string) {
	for _, arg := range args {
		if token, is := strings.CutPrefix(arg, "--token="); is {
			environ = append(environ, "AZP_TOKEN="+token)
			continue
		}
		rest = append(rest, arg)
	}
	return rest, environ
}
