// Package doctor checks everything that `azptend run` needs: settings, identity, token,
// network, organisation, pool and directory, in this order. A check is a value with a
// name, the checks that must pass before it, and a function. A failure is a [Cause] in
// one table, [Cases], which says what to do and which exit code `run` would have.
//
// The same table explains the errors of every other command ([Explain]): one place knows
// what an answer of Azure DevOps means.
//
// The package prints nothing. What it needs of the machine and of the server are
// functions and small interfaces in an [Environment].
// Sources: azure-devops-rest.md 1, 4 and 5, reference/identity.md 5 and 6, agent-protocol.md 3.9
// and 10, keda-and-kubernetes.md 1.5.
package doctor
