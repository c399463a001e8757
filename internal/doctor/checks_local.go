package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/text"
)

func checkSettings(_ context.Context, v *run) Finding {
	f := Finding{Found: "all settings are valid"}
	if n := len(v.Problems); n > 0 {
		f.Found = fmt.Sprintf("%s cannot be used", text.Count(n, "setting"))
	}
	for _, p := range v.Problems {
		f.add(BadSetting, p.What, p.Hint)
	}
	for _, what := range v.Warnings {
		f.add(SuspiciousSetting, what)
	}
	return f
}

func checkHost(_ context.Context, v *run) Finding {
	return Finding{Found: fmt.Sprintf("%s (%s), known by %s", v.Host.Platform, v.Host.DisplayName, v.Host.DetectedBy)}
}

func checkIdentity(ctx context.Context, v *run) Finding {
	c := v.Settings.Identity
	switch {
	case v.IdentityErr != nil:
		return failed(BadIdentity, v.IdentityErr.Error())
	case v.Tokens == nil:
		return Finding{Verdict: Skipped, BlockedBy: Settings, Found: "the settings define no identity"}
	}
	more := []string{c.Reason()}
	if c.Setting != "" {
		more[0] = "because of " + c.Setting
	}
	if c.Host != "" {
		more = append(more, "requested from "+string(c.Host))
	}
	if len(c.Ignored) > 0 {
		more = append(more, "not used: "+strings.Join(c.Ignored, " "))
	}
	f := Finding{Found: fmt.Sprintf("%s, %s (%s)", v.Tokens.Source(), v.Tokens.Selector(), strings.Join(more, "; "))}
	if c.IsFallback() && !v.Jobs.Metadata(ctx) {
		f.add(NoIdentitySet, "no setting names an identity, and no metadata service of Azure answers")
	}
	return f
}
