// Package setup configures Azure DevOps for an agent's identity. It adds the identity to
// the organisation with a Basic licence and gives it a role on the agent pool. On request
// it creates the pool and opens it to a project's pipelines.
//
// Setup is a plan that can be applied. [Organization.Read] reads the state, [MakePlan] is
// pure and lists what is missing, and [Organization.Apply] does it step by step and reads
// the result back: the service answers 200 to requests that it did not carry out. No step
// changes what is already right, so an interrupted setup can be run again.
//
// The order and its traps: azure-devops-rest.md 4.
package setup
