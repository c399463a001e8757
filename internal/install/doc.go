// Package install puts Microsoft's agent package into a folder, whole or not at
// all. It is for Dockerfiles, for machines without a network, and for a start
// without an image of one's own.
//
//	fetch → verify → unpack → place
//
// The archive is fetched into a folder of ours inside the agent's
// ([stagingName]), and goes on where it broke off, also after a kill: its name is
// its SHA-256, and nothing is unpacked before that is right. Unpacking happens
// beside the archive and stays inside its folder: a path or a link of the archive
// that leads elsewhere ends it. Then the parts are moved to their places by
// renames alone, bin last: until the listener is there the folder is one without
// an agent, and the next install finishes it.
//
// What is installed is written down in [packageRecordName], so that the same install
// again does nothing.
package install
