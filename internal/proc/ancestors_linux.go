package proc

import "os"

// Ancestor is a process that stays around above this one, as a shell, an init or
// a wrapper does that has started it and waits.
type Ancestor struct {
	PID     int
	Program string   // its base name, "" where it cannot be known
	Environ []string // what it was started with, as far as the user may read it
}

// Ancestors are the processes from this one's parent up to PID 1 of its pid
// namespace, and PID 1 where this process was put beside it (docker exec). Of
// each it tells what a process of user could read; nil is the user that we are.
// A process of our own program closes itself, and is left out.
func Ancestors(user *User) []Ancestor {
	var all []Ancestor
	own := programOf(os.Getpid())
	seen := map[int]bool{os.Getpid(): true}
	for _, pid := range []int{os.Getppid(), 1} {
		for pid > 0 && !seen[pid] {
			seen[pid] = true
			a := Ancestor{PID: pid, Program: programOf(pid)}
			_ = user.Do(func() error { a.Environ = environOf(pid); return nil })
			if a.Program != own {
				all = append(all, a)
			}
			p, err := processOf(pid)
			if err != nil {
				break
			}
			pid = p.parent
		}
	}
	return all
}
