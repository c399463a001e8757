package keep

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/azptend/azptend/internal/secret"
)

// cookieName holds what proves that the token was given once.
const cookieName = "azptend_keep"

// requireToken lets in who has the token: as a bearer token (Prometheus), as ?token= in
// the address (a person, once), or by the cookie that this leaves. Without a
// token, who names this server by a loopback address: a page from elsewhere that
// has its own name point to 127.0.0.1 is turned away by the name it came with.
func requireToken(token secret.Text, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case token.IsZero():
			if !IsLoopback(r.Host) {
				http.Error(w, noTokenMessage, http.StatusForbidden)
				return
			}
		case r.URL.Query().Has("token"):
			exchangeToken(w, r, token)
			return
		case !isAuthorized(r, token):
			w.Header().Set("WWW-Authenticate", `Bearer realm="azptend keep"`)
			http.Error(w, "a token is required: send Authorization: Bearer TOKEN, or open /?token=TOKEN once", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const noTokenMessage = "without AZP_KEEP_TOKEN azptend serves this page on loopback addresses only"

// exchangeToken takes a token out of the address, where it would stay in a history, and
// puts its proof into a cookie.
func exchangeToken(w http.ResponseWriter, r *http.Request, token secret.Text) {
	if !equalSecret(r.URL.Query().Get("token"), token.Reveal()) {
		http.Error(w, "wrong token", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where the request came over TLS: on loopback there is none
		Name: cookieName, Value: cookieValue(token), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	query := r.URL.Query()
	query.Del("token")
	w.Header().Set("Location", "?"+query.Encode()) // this very page, without it
	w.WriteHeader(http.StatusSeeOther)
}

func isAuthorized(r *http.Request, token secret.Text) bool {
	if hasBearer(r, token) {
		return true
	}
	cookie, err := r.Cookie(cookieName)
	return err == nil && equalSecret(cookie.Value, cookieValue(token))
}

// hasBearer says whether a request has this token in its header.
func hasBearer(r *http.Request, token secret.Text) bool {
	scheme, given, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return found && strings.EqualFold(scheme, "Bearer") && equalSecret(strings.TrimSpace(given), token.Reveal())
}

// cookieValue is what the cookie holds: it lets its bearer read the page, and is not
// the token, with which others may guard more.
func cookieValue(token secret.Text) string {
	mac := hmac.New(sha256.New, []byte(token.Reveal()))
	mac.Write([]byte("azptend keep: this browser sent the token"))
	return hex.EncodeToString(mac.Sum(nil))
}

// equalSecret compares without telling by its time how much of it is right, nor how
// long the right one is.
func equalSecret(given, right string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(right))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// IsLoopback says whether an address (host, or host:port) is this machine's own,
// which nobody else can reach.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && ip.Unmap().IsLoopback())
}
