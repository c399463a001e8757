package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/azptend/azptend/internal/secret"
)

// Values that were not expanded are a common mistake: an env file keeps quotes and expands
// nothing, Kubernetes and Azure Pipelines do not change $(NAME) if they know no such variable,
// and people copy examples. The result would be an agent with the name "$(hostname)", or a
// token that "may have expired". This file refuses such values, for all settings in the same
// way.

// template is a form of values that a person or a tool should have replaced.
type template struct {
	whole  *regexp.Regexp // matches the whole value
	secret *regexp.Regexp // is used for a secret instead, if whole could match a password
	inside *regexp.Regexp // matches a part of a value; nil: only the whole value counts
	what   string         // completes `AZP_POOL is "…", which …`
	hint   string
}

const (
	isTemplate = "is not expanded"
	isExample  = "is an example that was not replaced"
	shellHint  = "write the value itself: an env file expands nothing, and neither does a shell in single quotes"
)

var templates = []template{
	{
		whole: regexp.MustCompile(`^("[^"]*"|'[^']*'|“[^“”]*”|‘[^‘’]*’)$`),
		what:  "is in quotes",
		hint:  "remove the quotes: docker --env-file keeps them, and so does a list below environment in a compose file",
	},
	{
		whole:  regexp.MustCompile(`^\$\([^()]*\)$`),
		inside: regexp.MustCompile(`\$\([^()]*\)`),
		what:   isTemplate,
		hint:   "write the value itself: an env file expands nothing, and Kubernetes and Azure Pipelines leave $(NAME) as it is if they know no such variable",
	},
	{
		whole:  regexp.MustCompile(`^\$\{\{?[^{}]*\}?\}$`),
		inside: regexp.MustCompile(`\$\{\{?[^{}]*\}?\}`),
		what:   isTemplate,
		hint:   shellHint,
	},
	{
		whole:  regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]*$`),
		secret: regexp.MustCompile(`^\$[A-Z]+(_[A-Z]+)+$`),
		inside: regexp.MustCompile(`(^|[/._:=, -])\$[A-Z_][A-Z0-9_]+($|[/._:=, -])`),
		what:   isTemplate,
		hint:   shellHint,
	},
	{
		whole:  regexp.MustCompile(`^(\{\{[^{}]*\}\}|#\{[^{}]*\}#|%[A-Za-z_][A-Za-z0-9_]*%)$`),
		inside: regexp.MustCompile(`\{\{[^{}]*\}\}|#\{[^{}]*\}#`),
		what:   isTemplate,
		hint:   "write the value itself, or check that the tool that fills in the template has run and knows this name",
	},
	{
		whole:  regexp.MustCompile(`^<[^<>]*>$`),
		inside: regexp.MustCompile(`<[A-Za-z][A-Za-z0-9 _.-]*>`),
		what:   isExample,
		hint:   "replace it with your own value, without the angle brackets",
	},
}

// exampleURL is the example in azptend's documentation.
const exampleURL = "https://dev.azure.com/your-organisation"

// checkTemplate returns the problem of a value that was not expanded, and the hint. A password
// may contain any of these characters, so for a secret only the whole value is matched, and
// messages do not contain it.
func (r Setting) checkTemplate(value string) (problem, hint string) {
	if r.Env == "AZP_URL" && strings.EqualFold(strings.TrimRight(value, "/"), exampleURL) {
		return r.describe(value, isExample), "replace your-organisation with the name of your organisation"
	}
	for _, t := range templates {
		if !t.matches(value, r.secret != nil) {
			continue
		}
		if r.Env == "AZP_AGENT_NAME" && t.what == isTemplate {
			return r.describe(value, t.what), "leave it unset to use the host name, or set AZP_AGENT_NAME_PREFIX (--agent-name-prefix); " + t.hint
		}
		return r.describe(value, t.what), t.hint
	}
	return "", ""
}

func (t template) matches(value string, isSecret bool) bool {
	if isSecret && t.secret != nil {
		return t.secret.MatchString(value)
	}
	return t.whole.MatchString(value) || !isSecret && t.inside != nil && t.inside.MatchString(value)
}

// checkOtherTemplates checks variables that are not settings of azptend, but that it uses:
// settings of other images, and the common proxy variables. Programs ignore a proxy that is not
// an address, so that is only a warning, unless it contains a password.
func (s *Settings) checkOtherTemplates(env map[string]string, bad *problems) {
	for _, name := range compatNames {
		if problem, hint := (Setting{Env: name}).checkTemplate(strings.TrimSpace(env[name])); problem != "" {
			bad.addTemplate(name, hint, name+" "+problem)
		}
	}
	for _, name := range proxyVariables {
		variable := Setting{Env: name, secret: func(s *Settings) *secret.Text { return &s.ProxyURL }}
		switch problem, hint := variable.checkTemplate(strings.TrimSpace(env[name])); {
		case problem == "":
		case hasUserInfo(env[name]):
			bad.addTemplate(name, hint, name+" "+problem)
		default:
			s.warn("%s %s and has no effect; %s", name, problem, hint)
		}
	}
}

// describe completes a sentence that begins with the setting's name.
func (r Setting) describe(value, what string) string {
	switch {
	case r.secret != nil:
		return what
	case r.Env == "AZP_URL": // in which people write passwords
		value = redactURL(value)
	}
	return fmt.Sprintf("is %q, which %s", value, what)
}
