// Package dockerfile parses what our Dockerfiles use: instructions, continued lines and
// comments, but not here-documents and the escape directive. The tests of our own rules and
// test/external/engine use it.
package dockerfile

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Instruction is one instruction.
type Instruction struct {
	Word string   // in capitals: "RUN"
	Args string   // the rest, with continued lines joined by a space
	List []string // the JSON list of the exec form; nil for the shell form
}

// Stage is a build stage: FROM and the following instructions.
type Stage struct {
	From         string // with the defaults of the arguments before the first FROM
	Name         string // after AS
	Instructions []Instruction
}

// Parse splits a text into its stages.
func Parse(text string) ([]Stage, error) {
	var stages []Stage
	defaults := map[string]string{} // of the arguments before the first FROM
	for _, line := range logicalLines(text) {
		word, args, _ := strings.Cut(line, " ")
		in := Instruction{Word: strings.ToUpper(word), Args: strings.TrimSpace(args)}
		in.List = execForm(in.Args)
		if in.Word == "FROM" {
			fields := strings.Fields(in.Args)
			if len(fields) == 0 {
				return nil, fmt.Errorf("cannot read %q: it names no image", line)
			}
			stage := Stage{From: os.Expand(fields[0], func(name string) string { return defaults[name] })}
			if len(fields) == 3 && strings.EqualFold(fields[1], "AS") {
				stage.Name = fields[2]
			}
			stages = append(stages, stage)
			continue
		}
		if len(stages) == 0 && in.Word == "ARG" {
			name, value, _ := strings.Cut(in.Args, "=")
			defaults[name] = value
			continue
		}
		if len(stages) == 0 {
			return nil, fmt.Errorf("cannot read %q: there is no FROM before it", line)
		}
		last := &stages[len(stages)-1]
		last.Instructions = append(last.Instructions, in)
	}
	if len(stages) == 0 {
		return nil, fmt.Errorf("cannot read the Dockerfile: it has no FROM")
	}
	return stages, nil
}

// logicalLines joins lines that a backslash continues, and drops comments and empty lines, also
// between continued ones.
func logicalLines(text string) []string {
	var lines []string
	held := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			held += strings.TrimSpace(rest) + " "
			continue
		}
		lines, held = append(lines, held+line), ""
	}
	if held != "" {
		lines = append(lines, strings.TrimSpace(held))
	}
	return lines
}

// execForm is the list at the end of an instruction's arguments, after options; nil if there is
// none.
func execForm(args string) []string {
	at := strings.IndexByte(args, '[')
	if at < 0 {
		return nil
	}
	var list []string
	if json.Unmarshal([]byte(args[at:]), &list) != nil {
		return nil
	}
	return list
}

// Options are the --name=value before an instruction's arguments. rest are the arguments.
func (i Instruction) Options() (options map[string]string, rest []string) {
	options = map[string]string{}
	rest = strings.Fields(i.Args)
	for len(rest) > 0 && strings.HasPrefix(rest[0], "--") {
		name, value, _ := strings.Cut(strings.TrimPrefix(rest[0], "--"), "=")
		options[name], rest = value, rest[1:]
	}
	return options, rest
}
