// Package cluster starts and stops a Kubernetes control plane on loopback: etcd, the API server,
// the controller manager and KEDA's operator, and a node. keda-and-kubernetes.md 2b and 3.
package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

// token is the administrator's. The API server's port is only reachable on this machine.
const token = "loopback-administrator"

// Cluster is a running control plane.
type Cluster struct {
	Config     *rest.Config
	Kubeconfig string // for helm and kubectl
	APIServer  string // host:port
	dir, bin   string
	ended      []chan struct{}
	stops      []func()
}

// Start starts everything except KEDA and nodes, with the programs in bin. Their files go into dir.
// heartbeats is whether nodes will send them: then a node that sends none is not ready. Stop stops
// all programs.
func Start(ctx context.Context, bin, dir string, heartbeats bool) (*Cluster, error) {
	c := &Cluster{dir: dir, bin: bin}
	if err := c.start(ctx, heartbeats); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, heartbeats bool) error {
	ports, err := FreePorts(4)
	if err != nil {
		return err
	}
	etcd, peers := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	if err := c.writeFiles(ports[2]); err != nil {
		return err
	}
	if err := c.run("etcd", nil, "--data-dir", c.path("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers, "--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := c.ready(ctx, "etcd", etcd+"/health"); err != nil {
		return err
	}
	if err := c.run("kube-apiserver", nil, "--etcd-servers="+etcd, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports[2]), "--cert-dir="+c.path("apiserver"), "--service-cluster-ip-range=10.96.0.0/24",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--kubelet-preferred-address-types=InternalIP", "--token-auth-file="+c.path("tokens.csv"), "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.path("sa.pub"), "--service-account-signing-key-file="+c.path("sa.key"), "--endpoint-reconciler-type=none"); err != nil {
		return err
	}
	if err := c.ready(ctx, "kube-apiserver", "https://"+c.APIServer+"/readyz"); err != nil {
		return err
	}
	controllers := "--controllers=*,-node-ipam-controller,-node-route-controller,-service-lb-controller,-cloud-node-lifecycle-controller"
	if !heartbeats {
		controllers += ",-node-lifecycle-controller"
	}
	if err := c.run("kube-controller-manager", nil, "--kubeconfig="+c.Kubeconfig, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[3]),
		"--cert-dir="+c.path("controllers"), "--leader-elect=false", "--service-account-private-key-file="+c.path("sa.key"),
		"--root-ca-file="+c.path("apiserver/apiserver.crt"),
		controllers); err != nil {
		return err
	}
	return c.ready(ctx, "kube-controller-manager", fmt.Sprintf("https://127.0.0.1:%d/healthz", ports[3]))
}

// StartKEDA starts the operator in namespace keda, with this additional environment. Its CRDs must
// exist.
func (c *Cluster) StartKEDA(ctx context.Context, env []string) error {
	ports, err := FreePorts(3)
	if err != nil {
		return err
	}
	env = append(env, "KUBECONFIG="+c.Kubeconfig, "WATCH_NAMESPACE=", "KEDA_CLUSTER_OBJECT_NAMESPACE=keda", "POD_NAMESPACE=keda")
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	if err := c.run("keda-operator", env, "--leader-elect=false", "--metrics-bind-address="+at(ports[0]), "--health-probe-bind-address="+at(ports[1]),
		"--metrics-service-bind-address="+at(ports[2]), "--cert-dir="+c.path("keda"), "--enable-cert-rotation=false", "--zap-log-level=info"); err != nil {
		return err
	}
	return c.ready(ctx, "keda-operator", "http://"+at(ports[1])+"/readyz")
}

// Stop stops all programs in reverse order.
func (c *Cluster) Stop() {
	for i := len(c.stops) - 1; i >= 0; i-- {
		c.stops[i]()
	}
	c.stops = nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// run starts a program. Its output goes into a file with its name.
func (c *Cluster) run(name string, env []string, args ...string) error {
	path := filepath.Join(c.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name // Debian's, in PATH
	}
	log, err := os.Create(c.path(name + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p := exec.Command(path, args...)
	p.Stdout, p.Stderr, p.Dir = log, log, c.dir
	p.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir}, env...)
	// It has its own process group, so that Ctrl-C reaches only the test, and it dies with the test.
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = p.Wait(); close(ended) }()
	c.ended = append(c.ended, ended)
	c.stops = append(c.stops, func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = p.Process.Kill()
			<-ended
		}
	})
	return nil
}

// ready waits until the program that was started last reports that it is ready.
func (c *Cluster) ready(ctx context.Context, name, url string) error {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: noVerify, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return c.until(ctx, name, func() bool {
		answer, err := client.Do(request)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// until waits until the program that was started last does what ready checks.
func (c *Cluster) until(ctx context.Context, name string, ready func() bool) error {
	for !ready() {
		select {
		case <-c.ended[len(c.ended)-1]:
			return fmt.Errorf("%s ended before it was ready: see %s", name, c.path(name+".log"))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; see %s", name, context.Cause(ctx), c.path(name+".log"))
		case <-time.After(100 * time.Millisecond): // there is no event to wait for
		}
	}
	return nil
}

// FreePorts returns different free ports of loopback.
func FreePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // the ports stay in use until all are found, so that they differ
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}
