// Package emulated runs azptend's emulator, and agents of it, in processes of their own, for tests that live in other
// modules than azptend and so see of it what its users see: the binary, what "azptend-lab emulate" prints, and the control
// API below /_emulator/ (docs/emulator.md).
package emulated
