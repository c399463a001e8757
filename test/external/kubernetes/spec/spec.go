// Package spec is the description of a container that the kubelet passes to the program that starts
// it.
package spec

import "strings"

// Container is one container's process and its surroundings.
type Container struct {
	Args, Env    []string
	WorkDir      string
	Host         string // the pod's name
	UID, GID     int
	Groups       []int
	ReadOnlyRoot bool
	Image        []Mount // directories of the image; only this container sees its changes
	Mounts       []Mount // volumes
	Scratch      string  // an empty directory, in which the root is created
}

// Mount is a directory or file of this machine, and its place in the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Path is the container's PATH.
func (c Container) Path() string {
	for _, pair := range c.Env {
		if path, is := strings.CutPrefix(pair, "PATH="); is {
			return path
		}
	}
	return ""
}
