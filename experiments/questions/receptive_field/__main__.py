from experiments.receptive_field import main

main()
