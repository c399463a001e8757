// Package install puts Microsoft's agent package into a directory, completely or not at
// all. It is for Dockerfiles, for machines without a network, and for a start without a
// custom image.
//
//	fetch → verify → unpack → place
//
// The archive is downloaded into [stagingName] in the agent's directory. Its file name is
// its SHA-256, so that an interrupted download is resumed, even after a kill, and nothing
// is unpacked before the checksum is verified. Unpacking happens next to the archive and
// stays in its directory: a path or a link of the archive that leads elsewhere is an
// error. Then renames move the parts to their places, bin last. Until the listener is
// there, the directory counts as empty, and the next install finishes it.
//
// What is installed is recorded in [packageRecordName], so that the same install
// again does nothing.
package install
