package doctor

import (
	"context"
	"fmt"
	"strings"
)

func checkSettings(_ context.Context, v *run) result {
	r := ok("all settings are valid")
	if n := len(v.Problems); n > 0 {
		r.found = fmt.Sprintf("%s cannot be used", count(n, "setting"))
	}
	for _, p := range v.Problems {
		r = r.with(Problem{BadSetting, p.What, p.Hint})
	}
	for _, what := range v.Warnings {
		r = r.with(problem(SuspiciousSetting, what))
	}
	return r
}

// count is "1 setting", "2 settings".
func count(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}

func checkHost(_ context.Context, v *run) result {
	h := v.Environment.Host
	return ok(fmt.Sprintf("%s (%s), known by %s", h.Kind, h.Name, h.DetectedBy))
}

func checkIdentity(ctx context.Context, v *run) result {
	c := v.Environment.Identity
	switch {
	case v.isPreregistered():
		return notNeeded("the agent was registered by another azptend (AZP_REGISTERED): none is needed here")
	case c.Err != nil:
		return failedWith(problem(BadIdentity, c.Err.Error()))
	case c.Source == nil:
		return blockedBySettings("the settings define no identity")
	}
	var more []string
	more = append(more, "because of "+c.Reason)
	if c.Reason == ByDefault {
		more[0] = c.Reason
	}
	if c.Host != "" {
		more = append(more, "requested from "+c.Host)
	}
	if len(c.Ignored) > 0 {
		more = append(more, "not used: "+strings.Join(c.Ignored, " "))
	}
	r := ok(fmt.Sprintf("%s, %s (%s)", c.Source.Source(), c.Source.Selector(), strings.Join(more, "; ")))
	if c.Reason == ByDefault && c.Host == metadataService && !v.Jobs.Metadata(ctx) {
		r = r.with(problem(NoIdentitySet, "no setting names an identity, and no metadata service of Azure answers"))
	}
	return r
}
