module lychgate.example/rigs/backend

go 1.24.10
