// Package emulated runs azptend's emulator, and agents for it, as separate processes, for tests in
// other modules than azptend's. These tests see only what users see: the binary, the output of
// "azptend-lab emulate", and the control API below /_emulator/ (docs/emulator.md).
package emulated
