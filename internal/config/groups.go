package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/azptend/azptend/internal/pool"
	"github.com/azptend/azptend/internal/safefile"
	"github.com/azptend/azptend/internal/text"
)

const (
	// maxGroupsFile is the maximum size of the file of groups, and maxGroups how many it may have.
	maxGroupsFile = 256 << 10
	maxGroups     = 100
	// maxGroupMax is the greatest maximum of a group. It is a limit for typos.
	maxGroupMax = 10_000
	// maxGroupName leaves room for the name of the group's placeholder, which begins with
	// another name (see maxName).
	maxGroupName = 40
)

var groupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)

// setGroup sets the group of an agent that runs.
func setGroup(s *Settings, v string) error {
	s.AgentGroup = v
	return checkGroupName(v)
}

func checkGroupName(v string) error {
	if !groupName.MatchString(v) || len(v) > maxGroupName {
		return fmt.Errorf("is %q, which is no name of a group", v)
	}
	return nil
}

const groupNameHint = "use letters, digits and dashes, at most 40"

// LoadGroups reads AZP_KEEP_GROUPS_FILE for a command that explains waiting jobs, and returns what is
// wrong. The file may have groups of other pools than the command's.
func (s *Settings) LoadGroups() []Problem {
	var bad problems
	keeper := Settings{GroupsFile: strings.TrimSpace(s.Getenv("AZP_KEEP_GROUPS_FILE"))}
	keeper.loadGroups(&bad)
	s.Groups = keeper.Groups
	return bad
}

// loadGroups reads the groups of agents.
func (s *Settings) loadGroups(bad *problems) {
	if s.GroupsFile == "" {
		return
	}
	const setting = "AZP_KEEP_GROUPS_FILE (--groups-file)"
	b, err := safefile.ReadFileInTime(context.Background(), s.GroupsFile, maxGroupsFile)
	if err != nil {
		bad.add(mountHint, "%s cannot be read: %v", setting, withoutPath(err))
		return
	}
	var pools []string
	if s.PoolID == 0 {
		pools = s.Pools()
	}
	groups, wrong := ParseGroups(b, pools)
	for _, w := range wrong {
		bad.add(w.Hint, "%s line %d: %s", setting, w.Line, w.What)
	}
	s.Groups = groups
	for _, g := range groups {
		if g.Pool != "" && s.PoolID != 0 {
			bad.add("remove it, or set AZP_POOL (--pool) instead of AZP_POOL_ID (--pool-id)",
				"%s: group %q has the pool %q, but the keeper's pool is given by its id", setting, g.Name, g.Pool)
		}
		if name := g.Placeholder(s.PlaceholderName()).Name; s.KeepPlaceholder && len(name) > maxName {
			bad.add("use a shorter AZP_AGENT_NAME (--agent-name) or a shorter name of the group",
				"AZP_AGENT_NAME (--agent-name) is %q, and the placeholder %q of the group has more than %d characters", s.AgentName, name, maxName)
		}
	}
}

// FileError is what is wrong with a line of a file.
type FileError struct {
	Line       int
	What, Hint string
}

// ParseGroups parses the file of groups (docs/keep.md describes it). pools are the names of the
// kept pools; nil is any pool. If there are errors, there are no groups.
func ParseGroups(file []byte, pools []string) ([]pool.Group, []FileError) {
	p := &groupsParser{pools: pools, lines: map[string]int{}}
	var document, more yaml.Node
	read := yaml.NewDecoder(bytes.NewReader(file))
	switch err := read.Decode(&document); {
	case errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0:
		p.fail(&yaml.Node{Line: 1}, groupsHint, "the file is empty")
		return nil, p.errors
	case err != nil:
		p.failYAML(err)
		return nil, p.errors
	}
	if err := read.Decode(&more); err == nil {
		p.fail(&more, "write all groups below one groups:", "a second document begins here")
	} else if !errors.Is(err, io.EOF) {
		p.failYAML(err)
	}
	p.mapping(document.Content[0], "the file", groupsHint, map[string]func(*yaml.Node){"groups": p.groupList}, "groups")
	if len(p.errors) > 0 {
		return nil, p.errors
	}
	return p.groups, nil
}

const groupsHint = `begin with "groups:", and a list of groups with name and max`

// groupsParser walks over the file's nodes, which have line numbers. It collects all errors.
type groupsParser struct {
	pools  []string
	groups []pool.Group
	lines  map[string]int // of the groups, by their names in lower case
	errors []FileError
}

func (p *groupsParser) fail(n *yaml.Node, hint, format string, args ...any) {
	p.errors = append(p.errors, FileError{max(n.Line, 1), fmt.Sprintf(format, args...), hint})
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(?s:(.*))$`)

// failYAML adds the error of a file that is not YAML.
func (p *groupsParser) failYAML(err error) {
	parts := yamlLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(parts[1])
	p.fail(&yaml.Node{Line: line}, "check the indentation and the quotes", "not YAML: %s", parts[2])
}

// mapping calls the function of each key of a mapping. It refuses unknown keys and keys that are
// there twice, and asks for those that are required.
func (p *groupsParser) mapping(n *yaml.Node, what, hint string, keys map[string]func(*yaml.Node), required ...string) {
	n = followed(n)
	if n.Kind != yaml.MappingNode {
		p.fail(n, hint, "%s is not a mapping", what)
		return
	}
	known := slices.Sorted(maps.Keys(keys))
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		read := keys[key.Value]
		switch {
		case lines[key.Value] != 0:
			p.fail(key, "remove one of them", "%s is set twice, first in line %d", key.Value, lines[key.Value])
			continue
		case read == nil:
			hint := "use " + strings.Join(known, ", ")
			if like := text.Nearest(key.Value, known); like != "" {
				hint = fmt.Sprintf("did you mean %s?", like)
			}
			p.fail(key, hint, "unknown key %q", key.Value)
			continue
		}
		lines[key.Value] = key.Line
		read(followed(n.Content[i+1]))
	}
	for _, key := range required {
		if lines[key] == 0 {
			p.fail(n, hint, "%s has no %s", what, key)
		}
	}
}

// followed is the node that an alias stands for.
func followed(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func (p *groupsParser) groupList(n *yaml.Node) {
	switch {
	case n.Kind != yaml.SequenceNode || len(n.Content) == 0:
		p.fail(n, groupsHint, "groups is not a list of groups")
		return
	case len(n.Content) > maxGroups:
		p.fail(n, "use several keepers", "there are %d groups; at most %d are allowed", len(n.Content), maxGroups)
		return
	}
	for _, item := range n.Content {
		p.group(item)
	}
}

func (p *groupsParser) group(n *yaml.Node) {
	var g pool.Group
	var warm *yaml.Node
	p.mapping(n, "a group", `write it as "- name: linux", and below that "max: 10"`, map[string]func(*yaml.Node){
		"name":         func(n *yaml.Node) { g.Name = p.name(n) },
		"pool":         func(n *yaml.Node) { g.Pool = p.pool(n) },
		"agents":       func(n *yaml.Node) { g.Agents = p.text(n, "agents") },
		"capabilities": func(n *yaml.Node) { g.Capabilities = p.capabilities(n) },
		"max":          func(n *yaml.Node) { g.Max = p.number(n, "max", maxGroupMax) },
		"warm":         func(n *yaml.Node) { warm = n }, // after max
	}, "name", "max")
	if g.Pool == "" && len(p.pools) == 1 {
		g.Pool = p.pools[0]
	} else if g.Pool == "" && len(p.pools) > 1 {
		p.fail(followed(n), "add pool: with one of "+strings.Join(p.pools, ", "), "group %q has no pool, and the keeper has %d", g.Name, len(p.pools))
	}
	if warm != nil {
		g.Warm = p.windows(warm, g.Max)
	}
	p.groups = append(p.groups, g)
}

func (p *groupsParser) text(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode || strings.TrimSpace(n.Value) == "" {
		p.fail(n, "write one word after "+key+":", "%s is not a text", key)
		return ""
	}
	return n.Value
}

func (p *groupsParser) name(n *yaml.Node) string {
	name := p.text(n, "name")
	if name == "" {
		return ""
	}
	if err := checkGroupName(name); err != nil {
		p.fail(n, groupNameHint, "name %v", err)
	}
	if line := p.lines[strings.ToLower(name)]; line != 0 {
		p.fail(n, "give each group another name", "the name %q is used twice, first in line %d", name, line)
	} else {
		p.lines[strings.ToLower(name)] = n.Line
	}
	return name
}

func (p *groupsParser) pool(n *yaml.Node) string {
	name := p.text(n, "pool")
	i := slices.IndexFunc(p.pools, func(have string) bool { return strings.EqualFold(have, name) })
	switch {
	case name == "":
		return ""
	case len(p.pools) == 0:
		return name
	case i < 0:
		hint := "use one of AZP_POOL (--pool): " + strings.Join(p.pools, ", ")
		if like := text.Nearest(name, p.pools); like != "" {
			hint = fmt.Sprintf("did you mean %s?", like)
		}
		p.fail(n, hint, "pool is %q, which the keeper does not keep", name)
		return name
	}
	return p.pools[i]
}

func (p *groupsParser) number(n *yaml.Node, key string, most int) int {
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || number < 1 || number > most {
		p.fail(n, fmt.Sprintf("use a number from 1 to %d", most), "%s is %q", key, n.Value)
		return 0
	}
	return number
}

func (p *groupsParser) capabilities(n *yaml.Node) map[string]string {
	const hint = "write it as {docker: true, gpu: a100}"
	if n.Kind != yaml.MappingNode {
		p.fail(n, hint, "capabilities is not a mapping")
		return nil
	}
	found := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], followed(n.Content[i+1])
		_, twice := found[key.Value]
		switch name := strings.TrimSpace(key.Value); {
		case value.Kind != yaml.ScalarNode || name == "" || strings.ContainsAny(name, " ,="):
			p.fail(key, hint, "capability %q is not a name and a value", key.Value)
		case strings.HasPrefix(strings.ToLower(name), "azptend."):
			p.fail(key, "use another name", "capability %s: names that begin with azptend. are azptend's own", name)
		case twice:
			p.fail(key, "remove one of them", "capability %s is set twice", name)
		default:
			found[name] = value.Value
		}
	}
	return found
}
