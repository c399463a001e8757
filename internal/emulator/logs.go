package emulator

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// logFile is one uploaded log.
type logFile struct {
	id      int
	path    string
	created time.Time
	body    []byte
}

type logJSON struct {
	ID        int        `json:"id"`
	Path      string     `json:"path"`
	LineCount int        `json:"lineCount"`
	CreatedOn *timestamp `json:"createdOn"`
}

func (l *logFile) json() logJSON {
	return logJSON{l.id, l.path, strings.Count(string(l.body), "\n"), timestampOf(l.created)}
}

// postFeed takes live console lines (agent-protocol.md 7.5).
func (e *Emulator) postFeed(_ *request, j *job, in list[string]) (any, error) {
	j.lines = append(j.lines, in.Value...)
	e.dirty = true
	return noContent, nil
}

// postLog begins a log file, or appends raw bytes to one.
func (e *Emulator) postLog(c *request, j *job) (any, error) {
	if c.params["logId"] != "" {
		l, err := j.pathLog(c)
		if err != nil {
			return nil, err
		}
		l.body = append(l.body, c.body...)
		e.dirty = true
		return l.json(), nil
	}
	var in struct {
		Path string `json:"path"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	l := &logFile{id: len(j.logs) + 1, path: in.Path, created: e.Now()}
	j.logs = append(j.logs, l)
	return l.json(), nil
}

// pathLog returns the log that the path names.
func (j *job) pathLog(c *request) (*logFile, error) {
	if l := j.log(c.intParam("logId")); l != nil {
		return l, nil
	}
	return nil, taskError(http.StatusNotFound, "TaskOrchestrationPlanLogNotFoundException", "No log found with identifier %s.", c.params["logId"])
}

func (j *job) log(id int) *logFile {
	return first(j.logs, func(l *logFile) bool { return l.id == id })
}

// getLogs lists the logs, or answers one as text.
func (e *Emulator) getLogs(c *request, j *job) (any, error) {
	if c.params["logId"] == "" {
		return listOf(c, j.logs, func(_ *request, l *logFile) logJSON { return l.json() }), nil
	}
	l, err := j.pathLog(c)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, contentType: "text/plain; charset=utf-8", body: slices.Clone(l.body)}, nil
}

// logText is the job's lines: the console's while it runs, afterwards the logs of its tasks, or of the job itself.
func (j *job) logText() string {
	if j.result != "" {
		for _, kind := range []string{"Task", "Job"} {
			if s := j.logsOf(kind); s != "" {
				return s
			}
		}
	}
	if len(j.lines) == 0 {
		return ""
	}
	return strings.Join(j.lines, "\n") + "\n"
}

// logsOf joins the logs that records of one kind point to, in the order the records came.
func (j *job) logsOf(kind string) string {
	var b strings.Builder
	for _, r := range j.records {
		l := j.log(r.logID())
		if l == nil || !strings.EqualFold(r.text("type"), kind) {
			continue
		}
		b.Write(l.body)
		if n := len(l.body); n > 0 && l.body[n-1] != '\n' {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
