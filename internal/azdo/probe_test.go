package azdo_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/httpclient"
)

func TestTenantOf(t *testing.T) {
	for _, tt := range []struct {
		name, challenge, want string
	}{
		{"a tenant", `Bearer authorization_uri=https://login.microsoftonline.com/0b6bd18c-0000-4000-8000-00000000000d, Basic realm="x", TFS-Federated`, "0b6bd18c-0000-4000-8000-00000000000d"},
		{"a server of one's own", `Negotiate, Basic realm="tfs"`, ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/org/_apis/connectiondata" || r.Header.Get("X-TFS-FedAuthRedirect") != "Suppress" || r.Header.Get("Authorization") != "" {
					t.Errorf("asked %s with %v", r.URL, r.Header)
				}
				w.Header().Set("WWW-Authenticate", tt.challenge)
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer s.Close()
			client := httpclient.ForAzureDevOps("test", nil, nil)
			defer client.CloseIdleConnections()
			got, err := azdo.TenantOf(t.Context(), client, s.URL+"/org/")
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("is %q, %v", got, err)
			}
		})
	}
}
