package doctor

import (
	"context"
	"fmt"
	"strings"
)

func lookAtSettings(_ context.Context, v *visit) result {
	r := ok("every setting can be read")
	if n := len(v.Problems); n > 0 {
		r.found = fmt.Sprintf("%s cannot be used", count(n, "setting"))
	}
	for _, p := range v.Problems {
		r = r.with(Problem{BadSetting, p.What, p.Hint})
	}
	for _, what := range v.Oddities {
		r = r.with(problem(OddSetting, what))
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

func lookAtHost(_ context.Context, v *visit) result {
	h := v.Subject.Host
	return ok(fmt.Sprintf("%s (%s), known by %s", h.Platform, h.Name, h.Seen))
}

func lookAtIdentity(_ context.Context, v *visit) result {
	c := v.Subject.Identity
	switch {
	case v.alone():
		return notNeeded("the agent was registered by another azptend (AZP_REGISTERED): none is needed here")
	case c.Err != nil:
		return wrong(problem(BadIdentity, c.Err.Error()))
	case c.Who == nil:
		return blocked(Settings, "the settings come to no identity")
	}
	var more []string
	more = append(more, "because of "+c.Why)
	if c.Why == "nothing else is set" {
		more[0] = c.Why
	}
	if c.Host != "" {
		more = append(more, "asked of "+c.Host)
	}
	if len(c.Ignored) > 0 {
		more = append(more, "not used: "+strings.Join(c.Ignored, " "))
	}
	return ok(fmt.Sprintf("%s, %s (%s)", c.Who.Source(), c.Who.Selector(), strings.Join(more, "; ")))
}
