package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/azptend/azptend/internal/agentdir"
)

// lowSpacePercent is the share of a disk, in percent, from which on the agent warns of
// it in each job (its ResourceMetricsManager).
const lowSpacePercent = 5

func checkFolder(_ context.Context, v *run) result {
	f := v.Folder
	switch {
	case v.Placeholder:
		return notNeeded("a placeholder never runs and has no directory")
	case f.Dir == "":
		return blockedBySettings("the settings name no agent directory")
	}
	err := f.Check()
	if f.InstallPending && err == nil {
		return notNeeded("there is no agent in " + f.Dir + " yet: azptend run installs it (AZP_INSTALL)")
	}
	if err != nil {
		p := problem(FolderUnusable, err.Error())
		var unfit *agentdir.DirError
		if errors.As(err, &unfit) {
			p.Fix = unfit.Hint
		}
		return failedWith(p)
	}
	r := ok(fmt.Sprintf("%s can be used as user %s", f.Dir, f.User))
	free, total, err := f.Space()
	if err != nil || total == 0 {
		return r
	}
	r.found += fmt.Sprintf("; %s of %s free", gigabytes(free), gigabytes(total))
	if free*100 <= total*lowSpacePercent {
		r = r.with(problem(LittleSpace, fmt.Sprintf("%s of %s are free on the disk of the work directory", gigabytes(free), gigabytes(total))))
	}
	return r
}

func gigabytes(n uint64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }

func checkRuntime(ctx context.Context, v *run) result {
	f := v.Folder
	if v.Placeholder || f.InstallPending {
		return notNeeded("there is no agent")
	}
	needs, err := f.Needs()
	if err != nil {
		return failedWith(problem(NoVersion, err.Error()))
	}
	if needs.Libc != "" && !needs.Exists {
		return failedWith(problem(NoLoader, fmt.Sprintf("the listener is built for %s, and its loader %s is not there", needs.Libc, needs.Path)))
	}
	r := result{}
	icu := ""
	if needs.Libc != "" {
		icu = f.ICU()
	}
	if needs.Libc != "" && icu == "" {
		r = r.with(problem(NoICU, "libicuuc was not found in the library directories"))
	}
	version, err := f.Version(ctx)
	if err != nil {
		p := problem(NoVersion, err.Error())
		var unfit *agentdir.DirError
		if errors.As(err, &unfit) {
			p.Fix = unfit.Hint
		}
		return r.with(p)
	}
	r.found = "the agent is version " + version
	switch {
	case needs.Libc == "":
		r.found += ", a program that needs no C library"
	case icu != "":
		r.found += fmt.Sprintf(", for %s; ICU: %s", needs.Libc, icu)
	default:
		r.found += ", for " + needs.Libc
	}
	return r
}

func checkReach(ctx context.Context, v *run) result {
	j := v.Jobs
	if v.Placeholder {
		return notNeeded("a placeholder has no jobs")
	}
	who := "jobs run as azptend's own user"
	if j.User != "" {
		who = "jobs run as user " + j.User
	}
	r := ok(who + ", and cannot reach the identity")
	if j.User == "" {
		switch {
		case j.Undumpable != nil:
			r = r.with(problem(Dumpable, j.Undumpable.Error()))
		case len(j.Capabilities) > 0:
			r = r.with(problem(Tracing, "jobs have "+strings.Join(j.Capabilities, ", ")))
		}
	}
	for _, parent := range j.Parents {
		r = r.with(problem(ParentShows, parent))
	}
	for _, file := range j.TokenFiles {
		if j.CanRead(file) {
			r = r.with(problem(FileReadable, who+", who can read "+file))
		}
	}
	if len(j.PassEnv) > 0 {
		r = r.with(problem(PassesOn, "jobs get "+strings.Join(j.PassEnv, ", ")))
	}
	if j.Metadata(ctx) {
		r = r.with(problem(MetadataOpen, "the metadata service, 169.254.169.254, gives out tokens without a secret"))
	}
	if len(r.problems) > 0 {
		r.found = who + ", and can reach the identity"
	}
	return r
}

func checkBudget(_ context.Context, v *run) result {
	h := v.Environment.Host
	if v.Placeholder {
		return notNeeded("a placeholder has no jobs to finish")
	}
	from := "the platform's default"
	if h.GraceSet {
		from = "AZP_GRACE_PERIOD"
	}
	r := ok(fmt.Sprintf("of %v (%s) %v to finish the job, %v to stop it, %v to remove the agent", h.GracePeriod, from, h.Drain, h.Stop, h.Remove))
	if h.MaxGracePeriod != 0 && h.GracePeriod > h.MaxGracePeriod {
		r = r.with(problem(LongerThan, fmt.Sprintf("the grace period is %v, and %s gives %v at most", h.GracePeriod, h.Name, h.MaxGracePeriod)))
	}
	if v.Jobs.DeafShell != "" {
		r = r.with(problem(SignalsLost, v.Jobs.DeafShell+" has process id 1 and does not forward signals: SIGTERM never arrives at azptend"))
	}
	if h.CancelsJobs {
		p := problem(NoDrain, fmt.Sprintf("a grace period of %v is too short to finish a job: it is cancelled %v after SIGTERM", h.GracePeriod, h.Drain))
		p.Fix = "set AZP_GRACE_PERIOD to what the platform gives"
		if h.GraceSetting != "" {
			p.Fix = "raise " + h.GraceSetting + ", and set AZP_GRACE_PERIOD to the same"
		}
		r = r.with(p)
	}
	if !h.GraceSet && h.GraceSetting != "" {
		p := problem(GraceNotKnown, fmt.Sprintf("%v is assumed, which is the default; azptend cannot see whether %s says otherwise", h.GracePeriod, h.GraceSetting))
		p.Fix = "set AZP_GRACE_PERIOD to the same time as " + h.GraceSetting
		r = r.with(p)
	}
	return r
}
