module registrator

go 1.25

require github.com/hashicorp/consul/api v1.34.1
