package config

import (
	"slices"
	"strings"
)

// Azure DevOps has three kinds of places for an agent: an agent pool, a deployment group
// (whose agents share a deployment pool), and an environment. azptend registers agents in
// agent pools only. Other images take variables for the other kinds, and so does
// config.sh, whose arguments can be variables too (agent-protocol.md 1.2).

// deploymentTargets are such variables, without underscores. Variables that have an effect
// only together with them, such as AZP_DEPLOYMENTTAGS, are left out.
var deploymentTargets = []string{
	"AZPENVIRONMENTNAME", "AZPDEPLOYMENTPOOL", "AZPDEPLOYMENTPOOLNAME", "AZPDEPLOYMENTGROUP", "AZPDEPLOYMENTGROUPNAME",
	"VSTSAGENTINPUTENVIRONMENT", "VSTSAGENTINPUTENVIRONMENTNAME",
	"VSTSAGENTINPUTDEPLOYMENTPOOL", "VSTSAGENTINPUTDEPLOYMENTPOOLNAME", "VSTSAGENTINPUTDEPLOYMENTGROUP", "VSTSAGENTINPUTDEPLOYMENTGROUPNAME",
}

func namesDeploymentTarget(variable string) bool {
	return slices.Contains(deploymentTargets, strings.ReplaceAll(variable, "_", ""))
}

// refuseDeploymentTargets refuses to register an agent in a pool if the settings name another
// kind of place: the agent would take the pool's jobs.
func refuseDeploymentTargets(env map[string]string, bad *problems) {
	var set []string
	for name, value := range env {
		if namesDeploymentTarget(name) && isNotFalse(value) {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return
	}
	slices.Sort(set)
	verb := "is"
	if len(set) > 1 {
		verb = "are"
	}
	bad.add("unset it and set AZP_POOL, or register this machine with Microsoft's config.sh",
		"%s %s set, but environments and deployment groups are not agent pools: azptend registers agents in agent pools only", strings.Join(set, " and "), verb)
}
