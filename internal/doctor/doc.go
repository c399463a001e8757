// Package doctor looks at everything that `azptend run` needs, from the inside
// out: settings, identity, token, network, organisation, pool, folder. A check is
// a value: what it looks at, which checks have to be well before it can be made,
// and a function of what it may ask. What is wrong is a [Cause] out of one table,
// [Cases], which says what to do and what `run` would end with.
//
// The same table explains the failures of every other command ([Explain]): there
// is one place that knows what an answer of Azure DevOps means.
//
// The package starts no process and prints nothing. What it needs of the machine
// and of the server are functions and small interfaces in a [Environment].
// Sources: azure-devops-rest.md 1, 4 and 5, identity.md 5 and 6, agent-protocol.md
// 3.9 and 10, keda-and-kubernetes.md 1.5.
package doctor
