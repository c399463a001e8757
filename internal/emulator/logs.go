package emulator

import (
	"net/http"
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
func (e *Emulator) postFeed(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	var in list[string]
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	j.lines = append(j.lines, in.Value...)
	e.dirty = true
	return noContent(), nil
}

// postLog begins a log file, or appends raw bytes to one.
func (e *Emulator) postLog(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	if c.params["logId"] != "" {
		l := j.log(c.intParam("logId"))
		if l == nil {
			return reply{}, errNoLog(c.params["logId"])
		}
		l.body = append(l.body, c.body...)
		e.dirty = true
		return jsonReply(http.StatusOK, l.json()), nil
	}
	var in struct {
		Path string `json:"path"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	l := &logFile{id: len(j.logs) + 1, path: in.Path, created: e.now()}
	j.logs = append(j.logs, l)
	return jsonReply(http.StatusOK, l.json()), nil
}

func errNoLog(id string) error {
	return taskError(http.StatusNotFound, "TaskOrchestrationPlanLogNotFoundException", "No log found with identifier %s.", id)
}

func (j *job) log(id int) *logFile {
	if id < 1 || id > len(j.logs) {
		return nil
	}
	return j.logs[id-1]
}

// getLogs lists the logs, or answers one as text.
func (e *Emulator) getLogs(c *request) (reply, error) {
	j, err := e.planJob(c)
	if err != nil {
		return reply{}, err
	}
	if id := c.params["logId"]; id != "" {
		l := j.log(c.intParam("logId"))
		if l == nil {
			return reply{}, errNoLog(id)
		}
		return reply{status: http.StatusOK, contentType: "text/plain; charset=utf-8", body: append([]byte(nil), l.body...)}, nil
	}
	out := []logJSON{}
	for _, l := range j.logs {
		out = append(out, l.json())
	}
	return jsonReply(http.StatusOK, listOf(out)), nil
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
