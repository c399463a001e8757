// Package spec is what the kubelet tells a container that it starts.
package spec

import "strings"

// Container is one container's process and all around it.
type Container struct {
	Args, Env    []string
	WorkDir      string
	Host         string // the pod's name
	UID, GID     int
	Groups       []int
	ReadOnlyRoot bool
	Image        []Mount // folders that the image has, each changed in this container alone
	Mounts       []Mount // volumes
	Scratch      string  // an empty folder, where the root is made
}

// Mount is a folder or file of this machine in a place of the container's.
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
