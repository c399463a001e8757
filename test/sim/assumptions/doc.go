// Package assumptions runs an agent with servers that differ from what azptend
// assumes about Azure DevOps (docs/assumptions.md), one assumption at a time.
package assumptions
