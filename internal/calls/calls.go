package calls

import (
	"net/http"
	"strconv"

	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/metrics"
)

// Requests are the metrics of requests. They belong to the identity and not to one
// agent: Azure DevOps slows an identity down (azure-devops-rest.md 3).
type Requests struct {
	requests, throttled, throttledTime metrics.Counter
	took                               metrics.Histogram
}

// durationBuckets are around what a list takes, 0.1 s, up to
// what a throttled request is delayed by.
func durationBuckets() []float64 { return []float64{.05, .1, .2, .5, 1, 2, 5, 10, 30, 60} }

// New makes them in a registry, all at zero.
func New(r *metrics.Registry) *Requests {
	return &Requests{
		requests: r.Counter("azptend_azure_devops_requests_total", "Requests to Azure DevOps by HTTP status; none is one without an answer.", "code"),
		took:     r.Histogram("azptend_azure_devops_request_duration_seconds", "How long requests to Azure DevOps took.", durationBuckets(), "method"),
		throttled: r.Counter("azptend_azure_devops_throttled_requests_total",
			"Answers of Azure DevOps that asked to slow down."),
		throttledTime: r.Counter("azptend_azure_devops_throttle_seconds_total",
			"The time for which Azure DevOps asked not to be called."),
	}
}

// Observe counts a request. It is for azdo.New.
func (c *Requests) Observe(o azdo.Observation) {
	c.requests.Add(1, codeLabel(o.Status))
	c.took.Observe(o.Duration.Seconds(), o.Method)
	if throttled(o) {
		c.throttled.Add(1)
		c.throttledTime.Add(o.Throttle.RetryAfter.Seconds())
	}
}

// throttled tells an answer that was slowed down, or refused for that, from an
// outage that comes with a time to come back at (azure-devops-rest.md 3).
func throttled(o azdo.Observation) bool {
	t := o.Throttle
	return o.Status == http.StatusTooManyRequests || t.Delay > 0 || (t.RetryAfter > 0 && (t.Resource != "" || t.Remaining != ""))
}

// codeLabel is a status as a label: whoever answers in Azure DevOps' place may
// send any number.
func codeLabel(status int) string {
	switch {
	case status == 0:
		return "none"
	case http.StatusText(status) == "":
		return "other"
	}
	return strconv.Itoa(status)
}
