package repository

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/azptend/azptend/test/internal/process"
)

// endsProcesses matches commands that could kill other people's processes.
var endsProcesses = regexp.MustCompile(`\b(pkill|killall|pgrep|kill -9|fuser -k)\b`)

// pathArgument matches files of this repository in a command.
var pathArgument = regexp.MustCompile(`(?:^|[\s=])\.?/?((?:deploy/(?:helm|images|container-apps|grafana|prometheus)|test|cmd|docs)/[\w./-]+)`)

// TestCommandsInDocs parses every shell block in README and docs: with a shell, and
// azptend's commands with azptend itself. The scripts of test/script run the
// commands that need a server.
func TestCommandsInDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	check := newCommandCheck(t)
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range check.faults(t.Context(), string(b)) {
			t.Errorf("%s: %s", page, fault)
		}
	}
	if check.parsed < 50 {
		t.Errorf("only %d commands were found", check.parsed)
	}
}

// TestCommandRules shows that each rule finds a fault.
func TestCommandRules(t *testing.T) {
	check := newCommandCheck(t)
	for _, wrong := range []string{
		"azptend run --poool x", "azptend prun", "AZP_POOL=x azptend agents --nosuch", "sudo -u agent azptend instal", "runuser -u agent -- azptend instal",
		"make nosuch", "docker build -f deploy/images/nosuch.Dockerfile .", "pkill azptend", "if true; then", "azptend-lab demo --nosuch",
	} {
		if faults := check.faults(t.Context(), "text\n```sh\n"+wrong+"\n```\n"); len(faults) == 0 {
			t.Errorf("no fault was found in %q", wrong)
		}
	}
}

type commandCheck struct {
	azptend, lab, makefile string
	parsed                 int
}

func newCommandCheck(t *testing.T) *commandCheck {
	built := buildPrograms(t)
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	return &commandCheck{azptend: built.Azptend, lab: built.Lab, makefile: string(makefile)}
}

// faults are the problems with the commands of a page.
func (c *commandCheck) faults(ctx context.Context, page string) []string {
	var faults []string
	for _, block := range shellBlocks(page) {
		if out, err := exec.CommandContext(ctx, "bash", "-n", "-c", placeholders.Replace(block)).CombinedOutput(); err != nil {
			faults = append(faults, fmt.Sprintf("a shell cannot read\n%s%s", block, out))
		}
		if found := endsProcesses.FindString(block); found != "" {
			faults = append(faults, found+" may end somebody else's process")
		}
		for _, m := range pathArgument.FindAllStringSubmatch(block, -1) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil && !strings.HasSuffix(m[1], "/...") {
				faults = append(faults, "the repository has no "+m[1])
			}
		}
		for _, words := range commandsOf(block) {
			c.parsed++
			switch filepath.Base(words[0]) {
			case "azptend":
				faults = append(faults, parseFaults(ctx, c.azptend, words)...)
			case "azptend-lab":
				faults = append(faults, parseFaults(ctx, c.lab, words)...)
			case "make":
				for _, target := range words[1:] {
					if !strings.Contains(target, "=") && !strings.Contains(c.makefile, "\n"+target+":") {
						faults = append(faults, "there is no make target "+target)
					}
				}
			}
		}
	}
	return faults
}

// parseFaults parses a command line with azptend, which --help stops.
func parseFaults(ctx context.Context, program string, words []string) []string {
	out, err := process.Command(ctx, program, append(slices.Clone(words[1:]), "--help")...).CombinedOutput()
	if err != nil {
		return []string{fmt.Sprintf("%s: %v\n%s", strings.Join(words, " "), err, out)}
	}
	// The output is the help of the command. If it is that of azptend itself, there is no such
	// command.
	usage := "Usage:\n  " + filepath.Base(words[0]) + " "
	if len(words) > 1 && !strings.HasPrefix(words[1], "-") && !strings.Contains(string(out), usage+words[1]) {
		return []string{fmt.Sprintf("%s: azptend has no command %s", strings.Join(words, " "), words[1])}
	}
	return nil
}

// placeholders replaces placeholders for the reader by words that a shell accepts.
var placeholders = strings.NewReplacer("<", "", ">", "", "…", "x")

// shellBlocks are the blocks of a page with the language sh, with continued lines joined.
func shellBlocks(page string) []string {
	var blocks []string
	parts := strings.Split(page, "\n```")
	for i := 1; i < len(parts); i += 2 {
		if block, is := strings.CutPrefix(parts[i], "sh\n"); is {
			blocks = append(blocks, strings.ReplaceAll(block, "\\\n", " ")+"\n")
		}
	}
	return blocks
}

// runsAnother matches variables and programs before the command that they run.
var runsAnother = regexp.MustCompile(`^(?:(?:[A-Z_]+=\S*|sudo(?: -u \S+)?|runuser -u \S+ --|exec|time)\s+)+`)

// commandsOf are the commands of a block, each as its words: those at the beginning of a line, or
// after && or ;.
func commandsOf(block string) [][]string {
	var commands [][]string
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, " # ")
		for _, part := range regexp.MustCompile(`&&|;|\|`).Split(line, -1) {
			part = runsAnother.ReplaceAllString(strings.TrimSpace(part), "")
			words := strings.Fields(regexp.MustCompile(`'[^']*'|"\$\([^)]*\)"|"[^"]*"`).ReplaceAllString(placeholders.Replace(part), "x"))
			if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
				commands = append(commands, words)
			}
		}
	}
	return commands
}
