// Package safefile reads files that another process can replace at any moment.
//
// A job can write to the agent's directory, and so can whatever it leaves
// running. A name in there may be a named pipe, on which a plain open waits for
// ever; a link to /dev/zero, which has no end; or a file of terabytes without
// a single block on the disk. Everything below such a directory is read through
// [Dir]:
//
//   - no link is followed below the directory, neither at the end of a name nor
//     on the way to it; the directory itself is trusted, and may be a link
//   - opening never waits for another process
//   - only regular files are read, which is asked of the file that was opened
//   - each read has a limit
//
// [Open] and [ReadFile] are for files that are trusted, but may be as broken:
// a token file, which Kubernetes mounts through links. They follow links, and
// keep the other three rules.
//
// No function but [ReadFileBy] starts a goroutine that touches a file, so the others
// work under proc.User.Do. A read can still take long where the file system does
// (NFS, FUSE): a caller that must not wait calls it from a goroutine of its own.
package safefile
