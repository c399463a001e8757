//go:build unix

package proc

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// User is a user that a child can run as, and with whose rights files can be accessed. A
// nil *User is this process's user.
type User struct {
	Name   string // "" if the system has no name for it
	UID    int
	GID    int
	Groups []int  // supplementary
	Home   string // "" if it is not known

	reserved *reserved // see reserveThreads
}

func (u *User) String() string {
	if u.Name != "" {
		return u.Name
	}
	return strconv.Itoa(u.UID)
}

// ErrThreadsBusy says that all threads of a user hang in the kernel, so that Do and Start
// fail for that user.
var ErrThreadsBusy = errors.New("all threads that run as the jobs' user hang: a file system does not respond")

// UserError says why processes cannot run as a user.
type UserError struct {
	User string // as in the setting
	Why  string
	Hint string // what to do
}

func (e *UserError) Error() string { return fmt.Sprintf("cannot run as %q: %s", e.User, e.Why) }

// RunAs finds the user in AZP_RUN_AS, and checks that this process can start processes as
// that user; nil for "", which is this process's own user. The error wraps a *UserError.
func RunAs(asked string) (*User, error) {
	if asked == "" {
		return nil, nil
	}
	user, err := LookUpUser(asked)
	if err == nil {
		err = user.CheckRunAs()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use AZP_RUN_AS (--run-as): %w", err)
	}
	return user, nil
}

// LookUpUser finds "user" or "user:group", each by name or number, in /etc/passwd and
// /etc/group: a static binary cannot use NSS. As for a container's USER, a given group
// replaces all groups of the user. The error is a *UserError. Root is an error, because
// running jobs as root would protect nothing.
func LookUpUser(asked string) (*User, error) {
	who, group, hasGroup := strings.Cut(asked, ":")
	u, err := findUser(asked, who, hasGroup)
	if err != nil {
		return nil, err
	}
	if hasGroup {
		if u.GID, err = findGroup(group); err != nil {
			return nil, &UserError{User: asked, Why: err.Error(), Hint: "use a group's name from /etc/group, or its number"}
		}
		u.Groups = nil
	}
	if u.UID == 0 {
		return nil, &UserError{User: asked, Why: "root can read azptend's memory and files",
			Hint: "name an unprivileged user, or leave it unset"}
	}
	return u, nil
}

func findUser(asked, who string, hasGroup bool) (*User, error) {
	found, err := user.Lookup(who)
	uid, notNumber := parseID(who)
	if err != nil && notNumber == nil {
		found, err = user.LookupId(who)
	}
	switch {
	case err == nil:
		return userOf(found)
	case notNumber != nil:
		return nil, &UserError{User: asked, Why: fmt.Sprintf("there is no user %q", who), Hint: "use a user's name from /etc/passwd, or its number"}
	case !hasGroup:
		return nil, &UserError{User: asked, Why: "the system has no user with this number, so its group is unknown",
			Hint: "add a group, like " + who + ":" + who}
	}
	return &User{UID: uid}, nil
}

func userOf(found *user.User) (*User, error) {
	uid, errUID := parseID(found.Uid)
	gid, errGID := parseID(found.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, fmt.Errorf("cannot read the user %s: %w", found.Username, err)
	}
	u := &User{Name: found.Username, UID: uid, GID: gid, Home: found.HomeDir}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("cannot read the groups of %s: %w", found.Username, err)
	}
	for _, id := range ids {
		if n, err := parseID(id); err == nil {
			u.Groups = append(u.Groups, n)
		}
	}
	return u, nil
}

func findGroup(group string) (int, error) {
	if found, err := user.LookupGroup(group); err == nil {
		return parseID(found.Gid)
	}
	gid, err := parseID(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q", group)
	}
	return gid, nil
}

// parseID parses the number of a user or a group. The largest number is invalid: it means
// "unchanged" to the kernel.
func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is not the number of a user or group", s)
	}
	return int(n), nil
}

// Environ returns env with the user's home and name instead of ours. For a user without a
// home, or with / as its home, it uses home.
func (u *User) Environ(env []string, home string) []string {
	if u == nil {
		return env
	}
	if u.Home != "" && u.Home != "/" && u.Home != "/nonexistent" {
		home = u.Home
	}
	var own []string
	for _, pair := range env {
		switch name, _, _ := strings.Cut(pair, "="); name {
		case "HOME", "USER", "LOGNAME", "MAIL":
		default:
			own = append(own, pair)
		}
	}
	own = append(own, "HOME="+home)
	if u.Name != "" {
		own = append(own, "USER="+u.Name, "LOGNAME="+u.Name)
	}
	return own
}
