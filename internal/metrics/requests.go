package metrics

import (
	"net/http"
	"strconv"

	"github.com/azptend/azptend/internal/azdo"
)

// Requests are the metrics of requests to Azure DevOps, which are the same in every command
// with metrics. They are about the identity, not about one agent, because Azure DevOps
// throttles an identity (azure-devops-rest.md 3).
type Requests struct {
	requests, throttled, throttledTime Counter
	duration                           Histogram
}

// NewRequests adds the metrics to a registry, all at zero.
func NewRequests(r *Registry) *Requests {
	// From a fast request up to the delay of a throttled one.
	buckets := []float64{.05, .1, .2, .5, 1, 2, 5, 10, 30, 60}
	return &Requests{
		requests: r.Counter("azptend_azure_devops_requests_total",
			"Requests to Azure DevOps by HTTP status. none: no response.", "code"),
		duration: r.Histogram("azptend_azure_devops_request_duration_seconds",
			"Duration of requests to Azure DevOps.", buckets, "method"),
		throttled: r.Counter("azptend_azure_devops_throttled_requests_total",
			"Responses in which Azure DevOps asked to slow down."),
		throttledTime: r.Counter("azptend_azure_devops_throttle_seconds_total",
			"Total time for which Azure DevOps asked not to be called."),
	}
}

// Observe counts a request. It is for azdo.New.
func (q *Requests) Observe(o azdo.Observation) {
	code := strconv.Itoa(o.Status)
	switch { // few values of the label: a proxy may return any status
	case o.Status == 0:
		code = "none"
	case http.StatusText(o.Status) == "":
		code = "other"
	}
	q.requests.Add(1, code)
	q.duration.Observe(o.Duration.Seconds(), o.Method)
	if o.Throttled() {
		q.throttled.Add(1)
		q.throttledTime.Add(o.Throttle.RetryAfter.Seconds())
	}
}
