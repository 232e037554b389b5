from experiments.orthogonal_equivariance import main

main()
