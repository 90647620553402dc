// A stand-in for an upstream build of registrator, for tests of `registrator_image`: the original's flags (so an unknown one
// ends it), its ids, names and checks, registering through the Consul library that upstream uses, which also reads
// CONSUL_HTTP_TOKEN_FILE and CONSUL_CACERT. Like upstream it puts no mark on what it registers, checks nothing unless
// SERVICE_CHECK_HTTP or _TCP says so, and with -cleanup removes what has the shape of its ids and no container.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
)

var (
	ip       = flag.String("ip", "", "")
	explicit = flag.Bool("explicit", false, "")
	cleanup  = flag.Bool("cleanup", false, "")
	tags     = flag.String("tags", "", "")
	resync   = flag.Int("resync", 0, "")
	attempts = flag.Int("retry-attempts", 0, "")
	interval = flag.Int("retry-interval", 2000, "")
	shape    = regexp.MustCompile(`^(.+?):([a-zA-Z0-9][a-zA-Z0-9_.-]+):[0-9]+(?::udp)?$`)
)

func init() { // known, and not needed by the tests
	flag.Bool("internal", false, "")
	flag.String("useIpFromLabel", "", "")
	flag.String("deregister", "always", "")
	flag.Int("ttl", 0, "")
	flag.Int("ttl-refresh", 0, "")
}

type container struct {
	ID     string `json:"Id"`
	Name   string
	Config struct {
		Image  string
		Env    []string
		Labels map[string]string
	}
	NetworkSettings struct {
		Ports map[string][]struct{ HostIp, HostPort string }
	}
}

var engine = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://"))
}}}

func get(path string, into any) {
	answer, err := engine.Get("http://engine" + path)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		log.Fatal(err)
	}
}

// What one container asks for: a registration for each published port.
func wanted(host string, one container) (found []*consul.AgentServiceRegistration) {
	said := map[string]string{} // labels go over environment
	for _, pair := range one.Config.Env {
		key, value, _ := strings.Cut(pair, "=")
		said[key] = value
	}
	for key, value := range one.Config.Labels {
		said[key] = value
	}
	published := 0
	for _, bindings := range one.NetworkSettings.Ports {
		if len(bindings) > 0 {
			published++
		}
	}
	for key, bindings := range one.NetworkSettings.Ports {
		number, protocol, _ := strings.Cut(key, "/")
		if len(bindings) == 0 {
			continue
		}
		attributes, named := map[string]string{}, false
		for pass := 0; pass < 2; pass++ { // the port's own go over the general ones
			for label, value := range said {
				key, ours := strings.CutPrefix(strings.ToLower(label), "service_")
				first, rest, _ := strings.Cut(key, "_")
				_, err := strconv.Atoi(first)
				if specific := err == nil && rest != ""; ours && pass == 0 && !specific {
					attributes[key] = value
				} else if ours && pass == 1 && specific && first == number {
					attributes[rest] = value
					named = named || rest == "name"
				}
			}
		}
		if attributes["ignore"] != "" || (*explicit && attributes["name"] == "") {
			continue
		}
		image := one.Config.Image[strings.LastIndex(one.Config.Image, "/")+1:]
		service := &consul.AgentServiceRegistration{Name: strings.Split(image, ":")[0], Address: *ip}
		service.ID = host + ":" + one.Name[1:] + ":" + number
		service.Port, _ = strconv.Atoi(bindings[0].HostPort)
		if attributes["name"] != "" {
			service.Name = attributes["name"]
		}
		if published > 1 && !named {
			service.Name += "-" + number
		}
		for _, tag := range strings.Split(attributes["tags"]+","+*tags, ",") {
			if tag != "" {
				service.Tags = append(service.Tags, tag)
			}
		}
		if protocol == "udp" {
			service.ID, service.Tags = service.ID+":udp", append(service.Tags, "udp")
		}
		if attributes["id"] != "" {
			service.ID = attributes["id"]
		}
		address := net.JoinHostPort(*ip, strconv.Itoa(service.Port))
		if path := attributes["check_http"]; path != "" {
			service.Check = &consul.AgentServiceCheck{HTTP: "http://" + address + path, Interval: "10s"}
		} else if attributes["check_tcp"] != "" {
			service.Check = &consul.AgentServiceCheck{TCP: address, Interval: "10s"}
		}
		for _, key := range []string{"name", "tags", "id"} {
			delete(attributes, key)
		}
		service.Meta = attributes
		found = append(found, service)
	}
	return found
}

var mine = map[string]bool{} // ids of what this process has registered

func sync(host string, agent *consul.Agent) {
	var listed []struct {
		ID string `json:"Id"`
	}
	get("/containers/json", &listed)
	known := map[string]bool{}
	for _, item := range listed {
		var one container
		get("/containers/"+item.ID+"/json", &one)
		for _, service := range wanted(host, one) {
			known[service.ID] = true
			if err := agent.ServiceRegister(service); err != nil {
				log.Println("register failed:", service.ID, err)
			} else {
				log.Println("added:", service.ID)
			}
		}
	}
	for id := range mine {
		if !known[id] {
			log.Println("removed:", id, agent.ServiceDeregister(id))
		}
	}
	mine = known
	present, err := agent.Services()
	if err != nil || !*cleanup {
		return
	}
	for id := range present {
		if parts := shape.FindStringSubmatch(id); parts != nil && parts[1] == host && !known[id] {
			log.Println("dangling:", id, agent.ServiceDeregister(id))
		}
	}
}

func main() {
	flag.Parse()
	uri, err := url.Parse(flag.Arg(0))
	if err != nil || flag.NArg() != 1 {
		log.Fatal("one URI expected after the flags")
	}
	config := consul.DefaultConfig()
	config.Address = uri.Host
	if uri.Scheme == "consul-tls" {
		config.Scheme = "https"
	}
	client, err := consul.NewClient(config)
	if err != nil {
		log.Fatal(err)
	}
	for attempt := 0; ; attempt++ {
		if _, err = client.Status().Leader(); err == nil {
			break
		} else if *attempts >= 0 && attempt >= *attempts {
			log.Fatal(err)
		}
		time.Sleep(time.Duration(*interval) * time.Millisecond)
	}
	host, _ := os.Hostname()
	happened := make(chan bool, 1)
	go func() {
		answer, err := engine.Get("http://engine/events?filters=" + url.QueryEscape(`{"type":["container"],"event":["start","die"]}`))
		if err != nil {
			log.Fatal(err)
		}
		for decoder, event := json.NewDecoder(answer.Body), map[string]any{}; decoder.Decode(&event) == nil; {
			happened <- true
		}
		log.Fatal("Docker event loop closed")
	}()
	for {
		sync(host, client.Agent())
		var timer <-chan time.Time
		if *resync > 0 {
			timer = time.After(time.Duration(*resync) * time.Second)
		}
		select {
		case <-happened:
		case <-timer:
		}
	}
}
