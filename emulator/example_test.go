package emulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"slices"
	"time"

	"github.com/azptend/azptend/emulator"
)

// queueLength is the kind of tool that the examples test: it counts the waiting jobs of a pool, as KEDA's
// azure-pipelines scaler does.
func queueLength(orgURL, pat string, pool int) (int, error) {
	url := fmt.Sprintf("%s/_apis/distributedtask/pools/%d/jobrequests?api-version=7.1-preview.1", orgURL, pool)
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth("", pat)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the server answers %s", response.Status)
	}
	var list struct{ Value []struct{ Result string } }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return 0, err
	}
	waiting := 0
	for _, job := range list.Value {
		if job.Result == "" {
			waiting++
		}
	}
	return waiting, nil
}

// example starts an emulator for an example. A test calls Start instead.
func example(o emulator.Options) (*emulator.Emulator, context.Context, context.CancelFunc) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	azure, err := emulator.Listen(ctx, "127.0.0.1:0", o)
	if err != nil {
		log.Fatal(err)
	}
	return azure, ctx, stop
}

func ExampleStart() {
	t := &testingT{} // in a test, its *testing.T
	defer t.end()

	azure := emulator.Start(t, emulator.Options{})
	n, err := queueLength(azure.OrgURL, azure.PAT, 1)
	if n != 0 || err != nil {
		t.Fatalf("%d jobs wait, %v", n, err)
	}
	fmt.Println("no job waits")
	// Output: no job waits
}

// testingT implements the methods of *testing.T that Start needs.
type testingT struct{ cleanups []func() }

func (t *testingT) Helper()                      {}
func (t *testingT) Cleanup(f func())             { t.cleanups = append(t.cleanups, f) }
func (t *testingT) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

func (t *testingT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func ExampleListen() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	azure, err := emulator.Listen(ctx, "127.0.0.1:0", emulator.Options{Org: "contoso", Pools: []string{"linux", "windows"}})
	if err != nil {
		log.Fatal(err)
	}
	n, err := queueLength(azure.OrgURL, azure.PAT, 2)
	fmt.Println(n, err)
	// Output: 0 <nil>
}

// A queued job waits until an agent is available. It need not be a real one.
func ExampleEmulator_QueueJob() {
	azure, ctx, stop := example(emulator.Options{})
	defer stop()
	job, err := azure.QueueJob(emulator.Job{Name: "build", Script: "make", Demands: []string{"docker"}, Force: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(queueLength(azure.OrgURL, azure.PAT, 1))

	if _, err := azure.AddAgent(emulator.Agent{Name: "builder", Online: true, UserCapabilities: map[string]string{"docker": "yes"}}); err != nil {
		log.Fatal(err)
	}
	state, err := azure.Wait(ctx, func(s emulator.State) bool { return s.Agents[0].Job == job.ID })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(state.Jobs[0].Name, "is", state.Jobs[0].State, "to", state.Jobs[0].Agent)
	// Output:
	// 1 <nil>
	// build is assigned to builder
}

// The first call fails, and the tool must retry.
func ExampleEmulator_AddFault() {
	azure, _, stop := example(emulator.Options{})
	defer stop()
	if _, err := azure.AddFault(emulator.Fault{Path: "/jobrequests", Times: 1, Status: http.StatusServiceUnavailable}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(queueLength(azure.OrgURL, azure.PAT, 1))
	fmt.Println(queueLength(azure.OrgURL, azure.PAT, 1))
	for _, call := range azure.State().Calls {
		fmt.Println(call.Method, call.Path, call.Status)
	}
	// Output:
	// 0 the server answers 503 Service Unavailable
	// 0 <nil>
	// GET /emulated/_apis/distributedtask/pools/1/jobrequests 503
	// GET /emulated/_apis/distributedtask/pools/1/jobrequests 200
}

// A job is queued while the tool's call is in progress.
func ExampleEmulator_AddHold() {
	azure, _, stop := example(emulator.Options{})
	defer stop()
	reached, release, err := azure.AddHold(emulator.Hold{Method: http.MethodGet, Path: "/jobrequests"})
	if err != nil {
		log.Fatal(err)
	}
	counted := make(chan int)
	go func() {
		n, _ := queueLength(azure.OrgURL, azure.PAT, 1)
		counted <- n
	}()
	<-reached
	if _, err := azure.QueueJob(emulator.Job{Script: "make", Force: true}); err != nil {
		log.Fatal(err)
	}
	release()
	fmt.Println(<-counted)
	// Output: 1
}

// A tool that passes under each assumption does not depend on a guess about the service.
func ExampleAssumptions() {
	azure, _, stop := example(emulator.Options{})
	defer stop()
	for _, name := range emulator.Assumptions() {
		if err := azure.SetAssumptions(name); err != nil {
			log.Fatal(err)
		}
		if _, err := queueLength(azure.OrgURL, azure.PAT, 1); err != nil {
			fmt.Println(name, err)
		}
	}
	fmt.Println(slices.Contains(emulator.Assumptions(), "staleReads"))
	// Output: true
}
