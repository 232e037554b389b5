from experiments.equivariance import main

main()
