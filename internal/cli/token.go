package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/config"
	"github.com/azptend/azptend/internal/exitcode"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/secret"
	"github.com/azptend/azptend/internal/term"
)

func newToken(p Process) *cobra.Command {
	var asJSON, raw bool
	c := &cobra.Command{
		Use:   "token",
		Short: "Get a token for Azure DevOps and show its owner",
		Long: `Get a token for Azure DevOps as "azptend run" does, and show its owner. Only --raw prints the token itself. With AZP_URL (--url), token also checks that the token belongs to the organisation's tenant.

--auth also accepts azure-cli, the login of the Azure CLI.`,
	}
	c.Flags().SortFlags = false
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&raw, "raw", false, "print the token alone, for a script")
	config.AddFlags(c.Flags(), config.Connection)
	c.MarkFlagsMutuallyExclusive("json", "raw")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := config.LoadIdentity(c.Flags(), p.Environ)
		if err != nil {
			return exitcode.With(exitcode.Usage, err)
		}
		return token(c.Context(), p, s, asJSON, raw)
	}
	return c
}

// tokenInfo is what token prints about a token, which it does not print.
type tokenInfo struct {
	Source        string     `json:"source"`                  // kind of the identity
	Selector      string     `json:"selector"`                // which identity was requested
	Why           string     `json:"why"`                     // the setting that chose it
	Host          string     `json:"host,omitempty"`          // the host that gives the token
	Ignored       []string   `json:"ignored,omitempty"`       // settings that are not used
	Tenant        string     `json:"tenant,omitempty"`        // tenant id
	ObjectID      string     `json:"objectId,omitempty"`      // object (principal) id
	ApplicationID string     `json:"applicationId,omitempty"` // application (client) id
	Resource      string     `json:"resource,omitempty"`      // resource that the token is for
	Expires       *time.Time `json:"expires,omitempty"`       // when the token expires
	ResourceID    string     `json:"identity,omitempty"`      // Azure resource id of the identity, or of its machine
	Problems      []string   `json:"problems,omitempty"`      // what is wrong with the token
}

func token(ctx context.Context, p Process, s config.Settings, asJSON, raw bool) error {
	log := openLog(p, s)
	web := newWebClient(s)
	s.Identity.MaxUnreachable = p.maxUnreachable()
	who, err := s.NewIdentity(web, log, p.redactor)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	if s.Identity.IsFallback() {
		identity.WarnWithoutMetadata(log)
	}
	text, expires, err := who.Token(ctx)
	if err != nil {
		code := exitcode.Unavailable
		if ctx.Err() != nil {
			code = exitcode.Interrupted
		}
		return exitcode.With(code, err)
	}
	facts, claims := newTokenInfo(who, s.Identity, text, expires)
	facts.Problems = tokenProblems(ctx, claims, s.URL, web)
	switch {
	case raw && len(facts.Problems) == 0:
		fmt.Fprintln(p.Stdout, text.Reveal())
	case asJSON:
		_ = term.PrintJSON(p.Stdout, facts)
	case !raw:
		printTokenInfo(p.Stdout, facts, claims)
	}
	if len(facts.Problems) > 0 {
		return exitcode.With(exitcode.Denied, errors.New("cannot use the token for Azure DevOps: "+strings.Join(facts.Problems, "; ")))
	}
	return nil
}

func newTokenInfo(who *identity.Identity, c config.ChosenIdentity, text secret.Text, expires time.Time) (tokenInfo, *identity.Claims) {
	facts := tokenInfo{Source: string(who.Source()), Selector: who.Selector(), Why: c.Reason(), Host: string(c.Host), Ignored: c.Ignored}
	claims, ok := identity.ClaimsOf(text.Reveal())
	if !ok {
		return facts, nil
	}
	facts.Tenant, facts.ObjectID, facts.ApplicationID = claims.Tenant, claims.ObjectID, claims.ApplicationID
	facts.Resource, facts.ResourceID = claims.Audience, claims.ResourceID
	if !claims.Expires.IsZero() {
		expires = claims.Expires
	}
	if !expires.IsZero() {
		facts.Expires = &expires
	}
	return facts, &claims
}

// tokenProblems are problems of a token for which Azure DevOps only answers 401: the token is
// for another resource, or of another tenant (reference/identity.md 5).
func tokenProblems(ctx context.Context, claims *identity.Claims, organisation string, web *http.Client) []string {
	if claims == nil { // a PAT
		return nil
	}
	var problems []string
	if !claims.ForDevOps() {
		problems = append(problems, fmt.Sprintf("it is for resource %s, and Azure DevOps is %s", claims.Audience, identity.DevOpsResource))
	}
	if !claims.Expires.IsZero() && !time.Now().Before(claims.Expires) {
		problems = append(problems, "it has expired")
	}
	if organisation == "" || claims.Tenant == "" {
		return problems
	}
	tenant, err := azdo.TenantOf(ctx, web, organisation)
	if err == nil && !strings.EqualFold(tenant, claims.Tenant) {
		problems = append(problems, fmt.Sprintf("it belongs to tenant %s, but the organisation is connected to tenant %s", claims.Tenant, tenant))
	}
	return problems // if the organisation cannot be reached, the tenant is not checked
}

func printTokenInfo(w io.Writer, f tokenInfo, claims *identity.Claims) {
	table := term.NewTable(w)
	row := func(name, value string) {
		if value != "" {
			table.Row(name, value)
		}
	}
	row("source", f.Source)
	row("selector", f.Selector)
	row("why", f.Why)
	row("host", f.Host)
	row("ignored", strings.Join(f.Ignored, " "))
	row("tenant", f.Tenant)
	row("object id", f.ObjectID)
	row("application id", f.ApplicationID)
	resource := f.Resource
	if claims != nil && claims.ForDevOps() {
		resource += " (Azure DevOps)"
	}
	row("resource", resource)
	if f.Expires != nil {
		row("expires", fmt.Sprintf("%s (%s left)", f.Expires.Format(time.RFC3339), time.Until(*f.Expires).Round(time.Second)))
	}
	row("identity", f.ResourceID)
	if claims == nil {
		row("whose", "unknown: it is not an Entra token")
	}
	_ = table.Flush()
}
