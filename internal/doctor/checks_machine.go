package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
	"github.com/azptend/azptend/internal/lifecycle"
)

const (
	// lowSpacePercent is the percentage of free space below which the agent warns in each job
	// (its ResourceMetricsManager).
	lowSpacePercent = 5
	// lowSpace is too little for most jobs, also on a small disk: a checkout and its tools. A
	// container of Container Apps has 8 GiB at most.
	lowSpace = 2 << 30
)

func checkFolder(_ context.Context, v *run) Finding {
	dir := v.Folder
	if dir.Dir == "" {
		return Finding{Verdict: Skipped, BlockedBy: Settings, Found: "the settings name no agent directory"}
	}
	err := dir.Check()
	switch {
	case err != nil:
		return dirFailure(FolderUnusable, err)
	case dir.InstallPending:
		return Finding{Verdict: Skipped, Found: "there is no agent in " + dir.Dir + " yet: azptend run installs it (AZP_INSTALL)"}
	}
	f := Finding{Found: fmt.Sprintf("%s can be used as user %s", dir.Dir, dir.User)}
	free, total, err := dir.Space()
	if err != nil || total == 0 {
		return f
	}
	const gigabyte = 1e9
	amounts := fmt.Sprintf("%.1f GB of %.1f GB", float64(free)/gigabyte, float64(total)/gigabyte)
	f.Found += "; " + amounts + " free"
	if free*100 <= total*lowSpacePercent || free < lowSpace {
		f.add(LittleSpace, amounts+" are free on the disk of the work directory")
	}
	return f
}

func checkRuntime(ctx context.Context, v *run) Finding {
	if v.Folder.InstallPending {
		return Finding{Verdict: Skipped, Found: "there is no agent"}
	}
	needs, err := v.Folder.Needs()
	if err != nil {
		return failed(NoVersion, err.Error())
	}
	if needs.Libc != "" && !needs.Exists {
		return failed(NoLoader, fmt.Sprintf("the listener is built for %s, and its loader %s is not there", needs.Libc, needs.Path))
	}
	var f Finding
	version, err := v.Folder.Version(ctx)
	if err != nil {
		f = dirFailure(NoVersion, err)
	} else {
		f.Found = "the agent is version " + version
	}
	if needs.Libc == "" {
		f.Found += ", a program that needs no C library"
		return f
	}
	icu := v.Folder.ICU()
	if icu == "" {
		f.add(NoICU, "libicuuc was not found in the library directories")
	}
	if err == nil {
		f.Found += ", for " + needs.Libc
		if icu != "" {
			f.Found += "; ICU: " + icu
		}
	}
	return f
}

// dirFailure is the finding for an error that may know what to do about it.
func dirFailure(c *Cause, err error) Finding {
	var unfit *agentdir.DirError
	if errors.As(err, &unfit) {
		return failed(c, err.Error(), unfit.Hint)
	}
	return failed(c, err.Error())
}

func checkReach(ctx context.Context, v *run) Finding {
	j := v.Jobs
	who := "jobs run as azptend's own user"
	if j.User != "" {
		who = "jobs run as user " + j.User
	}
	f := Finding{Found: who + ", and cannot reach the identity"}
	if j.User == "" {
		switch {
		case j.Undumpable != nil:
			f.add(Dumpable, j.Undumpable.Error())
		case len(j.Capabilities) > 0:
			f.add(Tracing, "jobs have "+strings.Join(j.Capabilities, ", "))
		}
	}
	for _, parent := range j.Parents {
		f.add(ParentShows, parent)
	}
	for _, file := range j.TokenFiles {
		if j.CanRead(file) {
			f.add(FileReadable, who+", who can read "+file)
		}
	}
	if len(v.PassEnv) > 0 {
		f.add(PassesOn, "jobs get "+strings.Join(v.PassEnv, ", "))
	}
	if j.Metadata(ctx) {
		f.add(MetadataOpen, "the metadata service, 169.254.169.254, gives out tokens without a secret")
	}
	if len(f.Problems) > 0 {
		f.Found = who + ", and can reach the identity"
	}
	return f
}

func checkBudget(_ context.Context, v *run) Finding {
	h, grace, parts := v.Host, v.Grace, lifecycle.SplitGrace(v.Grace)
	from := "the platform's default"
	if v.GraceSet {
		from = "AZP_GRACE_PERIOD"
	}
	f := Finding{Found: fmt.Sprintf("of %v (%s) %v to finish the job, %v to stop it, %v to remove the agent", grace, from, parts.Drain, parts.Stop, parts.Remove)}
	if h.MaxGracePeriod != 0 && grace > h.MaxGracePeriod {
		f.add(LongerThan, fmt.Sprintf("the grace period is %v, and %s gives %v at most", grace, h.DisplayName, h.MaxGracePeriod))
	}
	if v.Jobs.DeafShell != "" {
		f.add(SignalsLost, v.Jobs.DeafShell+" has process id 1 and does not forward signals: SIGTERM never arrives at azptend")
	}
	if parts.CancelsJobs() {
		fix := "set AZP_GRACE_PERIOD to what the platform gives"
		if h.GraceSetting != "" {
			fix = "raise " + h.GraceSetting + ", and set AZP_GRACE_PERIOD to the same"
		}
		f.add(NoDrain, fmt.Sprintf("a grace period of %v is too short to finish a job: it is cancelled %v after SIGTERM", grace, parts.Drain), fix)
	}
	if !v.GraceSet && h.GraceSetting != "" {
		f.add(GraceNotKnown, fmt.Sprintf("%v is assumed, which is the default; azptend cannot see whether %s says otherwise", grace, h.GraceSetting),
			"set AZP_GRACE_PERIOD to the same time as "+h.GraceSetting)
	}
	return f
}
