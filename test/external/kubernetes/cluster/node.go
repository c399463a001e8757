package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/azptend/azptend/test/external/kubernetes/machine"
)

// Node is the name of the node that StartNode starts.
const Node = "node-1"

const (
	nodeToken = "loopback-node"
	nodeUser  = "system:node:" + Node
)

// containerd's state is where it is by default: the machine is the test's own. The other settings
// are for a machine without CAP_SYS_RESOURCE. Version 2 of the file is understood by containerd 1 and 2.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:node"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%s"
`

const cniConfig = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "%s", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "%s", "rangeStart": "%s"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
]}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /%s
failCgroupV1: false
address: %s
healthzPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}} # its port is only reachable in this machine
authorization: {mode: AlwaysAllow}
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
evictionHard: {memory.available: 100Mi, nodefs.available: 2%%, imagefs.available: 2%%, nodefs.inodesFree: 1%%}
volumeStatsAggPeriod: 5s # how soon it evicts a pod with a volume that is too large
resolvConf: ""
podLogsDir: %s
`

// StartNode starts a scheduler, containerd with the images of an archive, and a kubelet. It returns
// when the node is ready.
func (c *Cluster) StartNode(ctx context.Context, client kubernetes.Interface, images string) error {
	for name, content := range map[string]string{
		"containerd.toml":     fmt.Sprintf(containerdConfig, c.path("cni")),
		"cni/bridge.conflist": fmt.Sprintf(cniConfig, machine.Bridge, machine.Network, machine.FirstPod),
		"kubelet.yaml":        fmt.Sprintf(kubeletConfig, machine.Cgroup, machine.Address, c.path("pods")),
	} {
		if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(c.path(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	ports, err := FreePorts(1)
	if err != nil {
		return err
	}
	if err := c.run("kube-scheduler", nil, "--kubeconfig="+c.Kubeconfig, "--authentication-kubeconfig="+c.Kubeconfig, "--authorization-kubeconfig="+c.Kubeconfig,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[0]), "--cert-dir="+c.path("scheduler"), "--leader-elect=false"); err != nil {
		return err
	}
	if err := c.startContainerd(ctx, images); err != nil {
		return err
	}
	if err := c.run("kubelet", nil, "--config="+c.path("kubelet.yaml"), "--kubeconfig="+c.path("kubelet.conf"), "--hostname-override="+Node,
		"--node-ip="+machine.Address, "--cert-dir="+c.path("kubelet")); err != nil {
		return err
	}
	return c.until(ctx, "kubelet", func() bool {
		node, err := client.CoreV1().Nodes().Get(ctx, Node, metav1.GetOptions{})
		return err == nil && len(node.Spec.Taints) == 0 // there is one until the node is ready
	})
}

// startContainerd starts containerd, and loads the images.
func (c *Cluster) startContainerd(ctx context.Context, images string) error {
	if err := c.run("containerd", nil, "--config", c.path("containerd.toml")); err != nil {
		return err
	}
	if err := c.until(ctx, "containerd", func() bool { return exec.CommandContext(ctx, "ctr", "version").Run() == nil }); err != nil {
		return err
	}
	if said, err := exec.CommandContext(ctx, "ctr", "--namespace", "k8s.io", "images", "import", images).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot load %s: %w\n%s", images, err, said)
	}
	return nil
}
