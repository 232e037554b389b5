from experiments.mnist1d import main

main()
