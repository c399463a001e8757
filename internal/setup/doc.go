// Package setup does the Azure DevOps side of an agent's identity: it makes the
// identity a user of the organisation with a Basic licence, gives it a role on the
// agent pool, and, if asked, makes the pool and opens it to a project's pipelines.
//
// It is a plan that can be applied. [Read] finds out what there is, [MakePlan] is pure
// and says what is missing, and [Apply] does it, step by step, and reads back what
// came of it: the service answers 200 to things that it did not do. Each step
// leaves what is already right alone, so that whoever is interrupted runs it again.
//
// The order and its traps: azure-devops-rest.md 4.
package setup
